"""The networks of the benchmark: made in torch with fixed random weights, written as fp16 Core ML packages and as ONNX.

What is there already stays.
"""
import argparse
import pathlib

import numpy as np
import torch

SEED = 20261123


class Only(torch.nn.Module):
    """A network whose answer is one tensor, or the ones named."""

    def __init__(self, network, pick):
        super().__init__()
        self.network = network
        self.pick = pick

    def forward(self, *inputs):
        return self.pick(self.network(*inputs))


def image(size):
    return {"x": np.random.default_rng(SEED).standard_normal((1, 3, size, size)).astype(np.float32)}


def tokens(length, vocabulary):
    return {"input_ids": np.random.default_rng(SEED).integers(0, vocabulary, (1, length)).astype(np.int32)}


def torchvision_model(name):
    import torchvision

    return lambda: getattr(torchvision.models, name)(weights=None)


def efficientnet_lite0():
    import timm

    return timm.create_model("tf_efficientnet_lite0", pretrained=False)


def bert(layers, width, heads, inner):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, intermediate_size=inner,
        attn_implementation="eager", return_dict=False,
    )
    return Only(BertModel(config, add_pooling_layer=False), lambda out: out[0])


def ssdlite():
    import torchvision

    network = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    return Only(network.backbone, lambda out: tuple(out.values()))


MODELS = {
    "resnet50": (torchvision_model("resnet50"), lambda: image(224)),
    "mobilenet_v2": (torchvision_model("mobilenet_v2"), lambda: image(224)),
    "efficientnet_lite0": (efficientnet_lite0, lambda: image(224)),
    "convnext_tiny": (torchvision_model("convnext_tiny"), lambda: image(224)),
    "vit_b_16": (torchvision_model("vit_b_16"), lambda: image(224)),
    "bert_base": (lambda: bert(12, 768, 12, 3072), lambda: tokens(128, 30522)),
    "minilm_l6": (lambda: bert(6, 384, 12, 1536), lambda: tokens(128, 30522)),
    "ssdlite320": (ssdlite, lambda: image(320)),
}


def settle(network):
    """Statistics and scales as trained networks have them, so that activations neither vanish nor overflow in fp16."""
    generator = torch.Generator().manual_seed(SEED)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    for name, parameter in network.named_parameters():
        if name.startswith("heads."):  # zero as torchvision makes it
            parameter.normal_(0, 0.05, generator=generator)
        if name.endswith("layer_scale"):
            parameter.fill_(0.3)


def build(name):
    torch.manual_seed(SEED)
    torch.backends.mha.set_fastpath_enabled(False)  # the exporters know the plain form only
    make, inputs = MODELS[name]
    with torch.no_grad():
        network = make().eval()
        settle(network)
    return network, inputs()


def answers(network, inputs):
    with torch.no_grad():
        values = [torch.from_numpy(v).long() if v.dtype == np.int32 else torch.from_numpy(v) for v in inputs.values()]
        out = network(*values)
    return [v.numpy() for v in (out if isinstance(out, (tuple, list)) else [out])]


def write(name, folder):
    import coremltools as ct

    network, inputs = build(name)
    expected = answers(network, inputs)
    outputs = [f"y{i}" for i in range(len(expected))]
    values = tuple(torch.from_numpy(v).long() if v.dtype == np.int32 else torch.from_numpy(v) for v in inputs.values())
    with torch.no_grad():
        torch.onnx.export(network, values, folder / f"{name}.onnx", input_names=list(inputs), output_names=outputs,
                          opset_version=17, dynamo=False)
        traced = torch.jit.trace(network, values, strict=False)
    package = ct.convert(
        traced, minimum_deployment_target=ct.target.iOS16, compute_precision=ct.precision.FLOAT16, skip_model_load=True,
        inputs=[ct.TensorType(name=k, shape=v.shape, dtype=v.dtype) for k, v in inputs.items()],
        outputs=[ct.TensorType(name=o) for o in outputs],
    )
    package.save(str(folder / f"{name}.mlpackage"))
    np.savez(folder / f"{name}.npz", **inputs, **dict(zip(outputs, expected)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where they go; made where it is missing")
    parser.add_argument("names", nargs="*", metavar="name", default=list(MODELS), help=f"{', '.join(MODELS)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - MODELS.keys():
        parser.error(f"no such network: {', '.join(sorted(unknown))} (see --help)")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        if not (arguments.folder / f"{name}.npz").exists():
            print(f"making {name}", flush=True)
            write(name, arguments.folder)


if __name__ == "__main__":
    main()
