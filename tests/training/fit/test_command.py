"""The commands that train, on the real sets, for as few steps as show that everything fits together."""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geosam.errors import UsageError
from geosam.segmenters.lite import weights
from geosam.segmenters.lite.model import LiteModel
from geosam.segmenters.registry import load_segmenter
from geosam.training.__main__ import SCHEDULE
from geosam.training.data.corpus import SETS
from geosam.training.data.loader import CropOptions
from geosam.training.data.mixture import WEIGHTS, mixture
from geosam.training.data.rendered import rendered_pictures
from geosam.training.fit import command as running
from geosam.training.fit import loop as fitting
from geosam.training.fit.simulated_user import simulate_user

ROOT = Path(__file__).parents[3]
LITE = [sys.executable, "-m", "geosam.training"]
REFERENCE = [sys.executable, str(ROOT / "benchmarks" / "training" / "reference.py")]


def run(command, data, folder, *options):
    return subprocess.run(
        [*command, str(data), "-o", str(folder), "--synthetic", "1", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stderr


def test_every_set_that_teaches_has_a_weight_and_those_left_out_are_not_drawn(data_dir, tmp_path):
    found = mixture(data_dir, tmp_path, synthetic=2, seed=1, without=["fields_naip", "dsb2018_nuclei"])
    teaching = {one.name for one in SETS if one.split == "train"} | {"synthetic"}
    assert found.keys() == teaching - {"fields_naip", "dsb2018_nuclei"}
    assert {name: weight for name, (weight, _) in found.items()} == {name: WEIGHTS[name] for name in found}
    assert len(found["synthetic"][1]) == 2
    without_rendered = mixture(data_dir, tmp_path, synthetic=2, seed=1, without=["synthetic"])
    assert without_rendered.keys() == teaching - {"synthetic"}


class _Now(SimpleNamespace):
    """A clock that the steps of a training move, in place of the module `time`."""

    def time(self):
        return float(self.learnt[0])

    def monotonic(self):
        return 0.0


def trained(monkeypatch, data, folder, *options, stop_after=math.inf):
    """Run the command in this process, where it can be stopped after a step; returns the step that it came to."""
    learnt = [0]
    step = fitting.Trainer.train_step

    def counted(self, batches):
        learnt[0] += 1
        return step(self, batches)

    with monkeypatch.context() as here:
        here.setattr(fitting.Trainer, "train_step", counted)
        here.setattr(fitting, "time", _Now(learnt=learnt))
        here.setattr(running, "time", _Now(learnt=[0]))
        here.setattr(running, "mixture", few)
        minutes = [] if math.isinf(stop_after) else ["--minutes", str(stop_after / 60)]
        arguments = [str(data), "-o", str(folder), "--synthetic", "2", "--workers", "0", *options, *minutes]
        asked = running.parser("training", None, SCHEDULE).parse_args(arguments)
        crops = CropOptions(sizes=(128,), batch_px=2 * 128 * 128)
        return running.train(asked, LiteModel, simulate_user, crops)


def few(_data, pools, **options):
    """Rendered pictures alone, which need no data."""
    return {"synthetic": (1.0, list(rendered_pictures(options["synthetic"], pools / "rendered", options["seed"])))}


def test_a_run_that_was_stopped_in_the_middle_ends_with_the_weights_of_one_that_was_not(monkeypatch, tmp_path):
    whole = trained(monkeypatch, tmp_path, tmp_path / "whole", "--steps", "4")
    assert trained(monkeypatch, tmp_path, tmp_path / "parts", "--steps", "4", stop_after=2).step == 2
    parts = trained(monkeypatch, tmp_path, tmp_path / "parts", "--steps", "4")
    assert whole.step == parts.step == 4
    found = parts.average.module.state_dict()
    assert all(found[name].equal(values) for name, values in whole.average.module.state_dict().items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "5"], "steps: found 4, expected 5"),
        (["--steps", "4", "--seed", "2"], "seed: found 1, expected 2"),
        (["--steps", "4", "--rate", "1e-4"], "rate: found 0.0015, expected 0.0001"),
        (["--steps", "4", "--without", "fields_naip"], "without: found [], expected ['fields_naip']"),
    ],
    ids=["steps", "seed", "rate", "without"],
)
def test_the_state_of_another_run_is_refused_and_stays(options, words, monkeypatch, tmp_path):
    trained(monkeypatch, tmp_path, tmp_path, "--steps", "4", stop_after=1)
    before = (tmp_path / fitting.STATE).read_bytes()
    with pytest.raises(UsageError) as refused:
        trained(monkeypatch, tmp_path, tmp_path, *options)
    assert f"{tmp_path / fitting.STATE}: {words}. Give" in str(refused.value)
    assert (tmp_path / fitting.STATE).read_bytes() == before


def test_options_that_may_change_when_a_run_is_continued_are_no_part_of_its_state(monkeypatch, tmp_path):
    assert trained(monkeypatch, tmp_path, tmp_path / "out", "--steps", "4", stop_after=1).step == 1
    other = tmp_path / "elsewhere"
    (tmp_path / "out").rename(other)
    assert trained(monkeypatch, tmp_path / "data", other, "--steps", "4", stop_after=2).step == 3


def test_the_defaults_are_those_of_the_schedule(tmp_path):
    options = running.parser("training", None, SCHEDULE).parse_args([str(tmp_path), "-o", str(tmp_path / "out")])
    assert (options.steps, options.cool_down, options.rate) == (SCHEDULE.steps, SCHEDULE.cool_down, SCHEDULE.rate)
    assert options.minutes == math.inf
    assert (options.synthetic, options.workers, options.seed, options.without) == (600, 1, 1, [])


def test_an_error_is_printed_as_a_message_with_its_exit_code(capsys):
    with pytest.raises(SystemExit) as ended, running.errors_as_messages():
        raise UsageError("too much: found 9.", remedy="Use less.")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: too much: found 9. Use less.\n"


def test_an_error_of_the_program_itself_is_not_hidden():
    with pytest.raises(ZeroDivisionError), running.errors_as_messages():
        _ = 1 / 0


def test_the_command_that_was_stopped_before_its_first_step_goes_on_and_writes_weights(data_dir, tmp_path):
    file = tmp_path / "geosam_lite.safetensors"
    assert "no step made yet" in run(LITE, data_dir, tmp_path, "--steps", "1", "--minutes", "0")
    assert not file.exists()
    assert "continues at step 0" in run(LITE, data_dir, tmp_path, "--steps", "1")
    segmenter = load_segmenter(str(file))
    assert segmenter.spec.name == "geosam_lite/geosam_lite"  # the model and the file


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--without", "fields"], "fields_naip"),
        (["--steps", "0"], "--steps: found '0', expected a number of at least 1"),
        (["--steps", "many"], "--steps: found 'many', expected a number of at least 1"),
        (["--cool-down", "-1"], "--cool-down: found '-1', expected a number of at least 0"),
        (["--minutes", "nan"], "--minutes: found 'nan', expected a number of at least 0"),
        (["--seed", "1.5"], "--seed: found '1.5', expected a number of at least 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as refused:
        running.parser("training", None, SCHEDULE).parse_args([str(tmp_path), "-o", str(tmp_path), *options])
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "error: training data is missing: "),
        (["--self-labelled", "nothing.safetensors"], 5, "nothing.safetensors"),
        (["--without=" + name for name in WEIGHTS], 2, "error: no training pictures: every set is left out"),
    ],
    ids=["no data", "no teacher", "no set"],
)
def test_what_is_missing_is_said_in_one_sentence(options, code, words, tmp_path):
    options = [part for option in options for part in option.split("=")]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(LITE, tmp_path, tmp_path / "out", *options)
    assert refused.value.returncode == code
    assert words in refused.value.stderr
    assert "Traceback" not in refused.value.stderr


def test_a_run_begins_with_the_weights_of_a_file(data_dir, tmp_path):
    first = tmp_path / "first.safetensors"
    torch.manual_seed(5)
    weights.save(LiteModel(), first)
    run(LITE, data_dir, tmp_path, "--from", str(first), "--steps", "1", "--rate", "0")
    begun, found = (weights.load(path).state_dict() for path in (first, tmp_path / "geosam_lite.safetensors"))
    assert all(found[name].equal(value) for name, value in begun.items() if name.endswith(".weight"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(LITE, data_dir, tmp_path, "--from", str(tmp_path / "none.safetensors"), "--steps", "1")
    assert refused.value.returncode == 5
    assert f"error: the weights are missing: {tmp_path / 'none.safetensors'}" in refused.value.stderr


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(LITE, tmp_path, tmp_path / "file")
    assert refused.value.returncode == 6
    assert f"error: the output folder cannot be created: {tmp_path / 'file'}" in refused.value.stderr


def test_the_reference_architecture_learns_from_the_same_crops_and_loads_as_mobile_sam(data_dir, tmp_path):
    run(REFERENCE, data_dir, tmp_path, "--steps", "1")
    segmenter = load_segmenter(str(tmp_path / "reference.pt"))
    (embedding,) = segmenter.embed(np.zeros((1, 3, 1024, 1024), np.uint8), np.ones((1, 1024, 1024), bool))
    assert embedding.input_hw == (1024, 1024)
    steps = torch.load(tmp_path / fitting.STATE, weights_only=True)["optimizer"]["state"]
    moved = [bool(one["exp_avg"].any()) for one in steps.values()]
    assert sum(moved) > 0.9 * len(moved)  # the tokens of prompts that one step did not have are still
