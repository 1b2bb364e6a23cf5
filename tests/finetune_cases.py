"""What tests of fine-tuning share: a scene of discs with their polygons, and small networks with random weights."""

import geopandas
import numpy as np
import shapely
import torch
from scenes import NORTH_UP, UTM, write_scene

from geosam.geometry.geobox import Window
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.windows import WindowRule
from geosam.run.jobs import PromptJob
from geosam.segmenters.lite.encoder import EncoderShape, normalised
from geosam.segmenters.lite.model import LiteModel
from geosam.segmenters.lite.prompt_maps import Prompts, Region
from geosam.segmenters.lite.weights import save
from geosam.training.data.target_objects import TargetObject
from geosam.training.finetune.scores import Scores
from geosam.training.finetune.training_loop import TrainingLoop
from geosam.training.finetune.training_step import accumulate_gradients

#: Side of the scene, distance of the discs and their radius, pixels.
SIDE, STEP, RADIUS = 256, 64, 14
#: Discs of the scene.
DISCS = (SIDE // STEP) ** 2
#: The whole scene.
WHOLE = Window(0, 0, SIDE, SIDE)


def discs_picture(seed=5):
    """Bright discs on noise, uint8 (3, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(60, 100, (3, SIDE, SIDE)).astype(np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] % STEP + 0.5
    picture[:, np.hypot(x - STEP / 2, y - STEP / 2) <= RADIUS] += np.array([[120], [90], [30]], np.uint8)
    return picture


def discs_scene(folder):
    """The discs as `scene.tif`."""
    return write_scene(folder / "scene.tif", discs_picture(), photometric="rgb")


def discs(count=DISCS):
    """The first of the discs as polygons on the map, row by row."""
    middles = [(STEP * (k % (SIDE // STEP) + 0.5), STEP * (k // (SIDE // STEP) + 0.5)) for k in range(count)]
    return [shapely.Point(NORTH_UP @ middle).buffer(RADIUS * NORTH_UP.a, quad_segs=32) for middle in middles]


def layer(path, shapes, **options):
    """A vector file of some shapes."""
    geopandas.GeoDataFrame(geometry=list(shapes), crs=UTM).to_file(path, **options)
    return path


def random_network(make, seed=1):
    """A network for inference whose every parameter and statistic is random, also those that start as zeros or ones."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = make()
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return network.eval().requires_grad_(requires_grad=False)


def lite_weights(path, seed=1):
    """A file of geosam_lite with few channels and random weights, and norms that have seen a picture."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = LiteModel(EncoderShape(stem=8, stages=(16, 16, 16, 16), blocks=(1, 1, 1, 1), pyramid=(8, 8, 8))).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        picture = torch.from_numpy(discs_picture())[None]
        known = model.decoder.prepare(model.encoder(normalised(picture, torch.ones(1, SIDE, SIDE, dtype=torch.bool))))
        middle, cells = torch.full((1, 1, 2), STEP / 2), SIDE // 4
        prior, none = torch.zeros(1, 1, cells, cells), torch.zeros(1, dtype=torch.bool)
        prompts = Prompts(middle, torch.ones(1, 1, dtype=torch.int64), torch.full((1, 4), torch.nan), prior, none)
        state, _ = model.decoder.locate(known[2], prompts)
        model.decoder.outline(known, state, prompts, Region(0, 0, *state.shape[-2:]))
    save(model.eval(), path)
    return path


def rng(seed=0):
    return np.random.default_rng(seed)


def square(col, row, side=20):
    """A square target object."""
    return TargetObject(Window(col, row, side, side), np.ones((side, side), bool))


def windows_of(scene, segmenter):
    """Embeddings of a scene by window."""
    return PromptJob(TileEmbedder(scene, segmenter), WindowRule(scene.region), ())


def repeated_losses(decoder, embedding, targets, steps, rate):
    """Losses of the same training step again and again."""
    optimizer = torch.optim.Adam(decoder.parameters.values(), lr=rate)
    losses = []
    for _ in range(steps):
        losses.append(accumulate_gradients(decoder, embedding, WHOLE, targets, rng(3)))
        optimizer.step()
        optimizer.zero_grad()
    return losses


def script_scores(monkeypatch, means):
    """Take the scores of every evaluation from a list; an exception in the list is raised."""
    script = iter(means)

    def scripted(_loop):
        value = next(script)
        if isinstance(value, BaseException):
            raise value
        return Scores(value, value)

    monkeypatch.setattr(TrainingLoop, "evaluate", scripted)


def script_gradients(monkeypatch):
    """Let every training step add the same gradients of 1."""

    def scripted(decoder, *_):
        for parameter in decoder.parameters.values():
            parameter.grad = torch.ones_like(parameter)
        return 1.0

    monkeypatch.setattr("geosam.training.finetune.training_loop.accumulate_gradients", scripted)
