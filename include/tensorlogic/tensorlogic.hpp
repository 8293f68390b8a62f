#pragma once

// TensorLogic: run, check, debug, train and export Core ML models anywhere.
#include "tensorlogic/check.hpp"
#include "tensorlogic/custom.hpp"
#include "tensorlogic/dtype.hpp"
#include "tensorlogic/error.hpp"
#include "tensorlogic/feature.hpp"
#include "tensorlogic/image.hpp"
#include "tensorlogic/model.hpp"
#include "tensorlogic/profile.hpp"
#include "tensorlogic/tensor.hpp"
#include "tensorlogic/value.hpp"
