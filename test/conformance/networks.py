"""Whole networks with random weights, converted by coremltools in both precisions, against torch.

Run by test/conformance/live networks. Where a full configuration takes minutes to convert, fewer layers or a smaller image stand here.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ct = pytest.importorskip("coremltools")

_COSINE = 0.9999
torch.backends.mha.set_fastpath_enabled(False)  # coremltools has no conversion of the fused op
_NETWORKS = {}


def network(make):
    """Registers a function that returns a module in evaluation mode and its example inputs."""
    _NETWORKS[make.__name__] = make
    return make


class _First(torch.nn.Module):
    """A transformers model as a function of positional tensors that returns tensors."""

    def __init__(self, inner, names, outputs, fixed=()):
        super().__init__()
        self.inner, self.names, self.outputs, self.fixed = inner, names, outputs, dict(fixed)

    def forward(self, *arguments):
        result = self.inner(**dict(zip(self.names, arguments)), **self.fixed, return_dict=True)
        return tuple(result[name] for name in self.outputs)


def _image(size=224, batch=1):
    return (torch.rand(batch, 3, size, size),)


def _tokens(length, vocabulary):
    return torch.randint(0, vocabulary, (1, length), dtype=torch.int32)


def _vision(name, size=224):
    import torchvision

    return getattr(torchvision.models, name)(weights=None), _image(size)


@network
def resnet18():
    return _vision("resnet18")


@network
def resnet50():
    return _vision("resnet50")


@network
def mobilenet_v3_large():
    return _vision("mobilenet_v3_large")


@network
def efficientnet_b0():
    return _vision("efficientnet_b0")


@network
def convnext_tiny():
    return _vision("convnext_tiny")


@network
def vit_b_16():
    model, inputs = _vision("vit_b_16")
    torch.nn.init.normal_(model.heads.head.weight, std=0.02)  # zeros by default
    return model, inputs


@network
def swin_t():
    return _vision("swin_t")


def _timm(name, **options):
    import timm

    return timm.create_model(name, pretrained=False, **options)


@network
def deit_small():
    return _timm("deit_small_patch16_224"), _image()


@network
def timm_mobilenetv3_small():
    return _timm("mobilenetv3_small_100"), _image()


@network
def timm_regnet():
    return _timm("regnety_004"), _image()


@network
def bert():
    """Four of twelve layers, attention as transformers has it by default.

    The eager form multiplies 1 - mask by float32's lowest number, which coremltools writes as fp16's -inf: 0 * -inf is NaN anywhere.
    """
    from transformers import BertConfig, BertModel

    config = BertConfig(num_hidden_layers=4, vocab_size=4000, attn_implementation="sdpa")
    inputs = _tokens(48, 4000), torch.ones(1, 48, dtype=torch.int32), torch.zeros(1, 48, dtype=torch.int32)
    return _First(BertModel(config), ("input_ids", "attention_mask", "token_type_ids"), ("last_hidden_state", "pooler_output")), inputs


@network
def distilbert():
    """Three of six layers."""
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(n_layers=3, vocab_size=4000, attn_implementation="eager")
    return _First(DistilBertModel(config), ("input_ids", "attention_mask"), ("last_hidden_state",)), (_tokens(48, 4000), torch.ones(1, 48, dtype=torch.int32))


@network
def gpt2():
    """Four of twelve layers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=4, vocab_size=4000, attn_implementation="eager")
    return _First(GPT2LMHeadModel(config), ("input_ids",), ("logits",), {"use_cache": False}), (_tokens(32, 4000),)


def _whisper():
    """The tiny configuration."""
    from transformers import WhisperConfig

    sizes = dict(d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6, decoder_attention_heads=6)
    return WhisperConfig(**sizes, encoder_ffn_dim=1536, decoder_ffn_dim=1536, vocab_size=4000, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                         decoder_start_token_id=1, attn_implementation="eager")


@network
def whisper_encoder():
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return _First(WhisperEncoder(_whisper()), ("input_features",), ("last_hidden_state",)), (torch.randn(1, 80, 3000),)


@network
def whisper_decoder():
    from transformers.models.whisper.modeling_whisper import WhisperDecoder

    module = _First(WhisperDecoder(_whisper()), ("input_ids", "encoder_hidden_states"), ("last_hidden_state",), {"use_cache": False})
    return module, (_tokens(16, 4000), torch.randn(1, 1500, 384))


@network
def clip():
    """Four layers of each tower."""
    from transformers import CLIPConfig, CLIPModel

    text = dict(num_hidden_layers=4, vocab_size=4000, eos_token_id=3999, bos_token_id=3998)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=dict(num_hidden_layers=4), attn_implementation="eager"))
    tokens = _tokens(16, 3998)
    tokens[0, -1] = 3999
    return _First(model, ("input_ids", "pixel_values"), ("logits_per_image", "image_embeds", "text_embeds")), (tokens, *_image())


class _CrossBlock(torch.nn.Module):
    """A residual block of a UNet with a time embedding and attention to a text."""

    def __init__(self, channels, time, text):
        super().__init__()
        nn = torch.nn
        self.norm1, self.conv1 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(time, channels)
        self.norm3 = nn.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (nn.Linear(i, channels, bias=False) for i in (channels, text, text, channels))

    def forward(self, x, time, text):
        act = torch.nn.functional.silu
        h = self.conv1(act(self.norm1(x))) + self.time(act(time))[:, :, None, None]
        x = x + self.conv2(act(self.norm2(h)))
        b, c, height, width = x.shape
        tokens = self.norm3(x.flatten(2).transpose(1, 2))
        heads = lambda t: t.reshape(b, -1, 4, c // 4).transpose(1, 2)
        mixed = torch.nn.functional.scaled_dot_product_attention(heads(self.query(tokens)), heads(self.key(text)), heads(self.value(text)))
        mixed = self.out(mixed.transpose(1, 2).reshape(b, -1, c))
        return x + mixed.transpose(1, 2).reshape(b, c, height, width)


class _UNet(torch.nn.Module):
    def __init__(self, width=64, text=96, time=128):
        super().__init__()
        nn = torch.nn
        self.frequencies = time // 2
        self.embed = nn.Sequential(nn.Linear(time, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(4, width, 3, padding=1)
        self.down1, self.down2 = _CrossBlock(width, time, text), _CrossBlock(2 * width, time, text)
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.grow = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.up = _CrossBlock(width, time, text)
        self.last = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, x, step, text):
        angles = step[:, None] * torch.exp(torch.arange(self.frequencies) * (-9.21 / self.frequencies))[None]
        time = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        high = self.down1(self.first(x), time, text)
        low = self.down2(self.shrink(high), time, text)
        return self.last(self.up(self.join(torch.cat([high, self.grow(low)], dim=1)), time, text))


@network
def unet_cross_attention():
    return _UNet(), (torch.randn(1, 4, 32, 32), torch.tensor([17.0]), torch.randn(1, 12, 96))


class _Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(500, 64)
        self.lstm = torch.nn.LSTM(64, 48, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(96, 17)

    def forward(self, tokens):
        return torch.log_softmax(self.head(self.lstm(self.embed(tokens))[0]), dim=-1)


@network
def lstm_tagger():
    return _Tagger(), (_tokens(40, 500),)


class _Detector(torch.nn.Module):
    """Anchors on an 8 x 8 grid, boxes decoded from a small backbone, NMS at the end."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        steps = []
        for i, o in ((3, 16), (16, 32), (32, 64), (64, 64)):
            steps += [nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(o), nn.Hardswish()]
        self.backbone = nn.Sequential(*steps)
        self.boxes, self.scores = nn.Conv2d(64, 4 * 3, 1), nn.Conv2d(64, 3, 1)
        torch.nn.init.normal_(self.scores.weight, std=2.0)
        y, x, size = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), torch.tensor([12.0, 24.0, 40.0]), indexing="ij")
        self.register_buffer("anchors", torch.stack([x * 16 + 8, y * 16 + 8, size], dim=-1).reshape(-1, 3))

    def forward(self, image):
        import torchvision

        features = self.backbone(image)
        moves = self.boxes(features).permute(0, 2, 3, 1).reshape(-1, 4)
        scores = torch.sigmoid(self.scores(features)).permute(0, 2, 3, 1).reshape(-1)
        size = self.anchors[:, 2:]
        center = self.anchors[:, :2] + torch.tanh(moves[:, :2]) * size
        half = size * torch.exp(moves[:, 2:]) / 2
        boxes = torch.cat([center - half, center + half], dim=1)
        return boxes[torchvision.ops.nms(boxes, scores, 0.4)], boxes, scores

    def settled(self, answers):
        """The kept boxes of given boxes and scores: their order hangs on the last place, which fp16 rounds away."""
        import torchvision

        boxes, scores = (torch.from_numpy(np.asarray(v, np.float32)) for v in answers[1:])
        return boxes[torchvision.ops.nms(boxes, scores, 0.4)]


@network
def detector_nms():
    return _Detector(), _image(128)


def _cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-300))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", list(_NETWORKS))
def test_network(name, precision):
    torch.manual_seed(0)
    module, inputs = _NETWORKS[name]()
    module.eval()
    for normalization in module.modules():  # statistics as after training, so that activations stay in range
        if isinstance(normalization, torch.nn.BatchNorm2d):
            normalization.running_mean.uniform_(-0.1, 0.1)
            normalization.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        expected = module(*inputs)
        traced = torch.jit.trace(module, inputs, check_trace=False)
    expected = [expected] if torch.is_tensor(expected) else list(expected)
    types = [ct.TensorType(name=f"in_{i}", shape=v.shape, dtype=np.int32 if v.dtype == torch.int32 else np.float32) for i, v in enumerate(inputs)]
    model = ct.convert(
        traced, inputs=types, outputs=[ct.TensorType(name=f"out_{i}") for i in range(len(expected))], convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17, compute_units=ct.ComputeUnit.CPU_ONLY,
        compute_precision=ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16,
    )
    answer = model.predict({f"in_{i}": v.numpy() for i, v in enumerate(inputs)})
    answers = [np.asarray(answer[f"out_{i}"]) for i in range(len(expected))]
    if hasattr(module, "settled"):
        expected[0] = module.settled(answers)
    for i, (got, wanted) in enumerate(zip(answers, expected)):
        wanted = wanted.numpy()
        assert got.shape == wanted.shape, f"output {i}: shape {got.shape}, torch has {wanted.shape}"
        assert np.isfinite(got).all(), f"output {i}: not finite"
        cosine = _cosine(got, wanted)
        assert cosine >= _COSINE, f"output {i}: cosine {cosine:.6f}"
        assert wanted.size == 1 or float(wanted.std()) > 1e-6, f"output {i} of torch is constant: it would prove nothing"
