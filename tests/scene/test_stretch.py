import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geosam.errors import UsageError
from geosam.scene.stretch import Stretch, StretchRule

ALL = np.ones((4, 5), bool)
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]


def expected(band, low, high):
    """The linear map in plain numpy, value by value."""
    scaled = [0.0 if not np.isfinite(v) else (float(v) - low) * 255 / (high - low) for v in band.ravel()]
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8).reshape(band.shape)


def ramp(dtype, shape=(4, 5)):
    return np.linspace(-100 if np.dtype(dtype).kind != "u" else 0, 120, 3 * 20).reshape(3, *shape).astype(dtype)


@pytest.mark.fault("R44", "R45")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_scaled_between_its_limits(dtype):
    bands = ramp(dtype)
    stretch = Stretch((10, -50, 0), (100, 60, 33))
    picture = stretch.apply(bands, ALL)
    assert picture.dtype == np.uint8
    for index, (low, high) in enumerate(zip(stretch.low, stretch.high, strict=True)):
        assert (picture[index] == expected(bands[index], low, high)).all()


@given(arrays(np.uint16, (1, 4, 5)), st.floats(0, 60_000), st.floats(0.5, 5000))
def test_tables_for_small_types_agree_with_the_formula(bands, low, span):
    assert (Stretch((low,), (low + span,)).apply(bands, ALL)[0] == expected(bands[0], low, low + span)).all()


def test_the_identity_changes_no_uint8_value():
    bands = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    stretch = Stretch.identity()
    assert stretch.is_identity
    assert (stretch.apply(bands, ALL) == bands).all()


def test_the_picture_is_never_the_array_that_was_given():
    bands = np.full((3, 4, 5), 7, np.uint8)
    picture = Stretch.identity().apply(bands, ALL)
    picture[:] = 0
    assert (bands == 7).all()


def test_invalid_pixels_become_black():
    valid = ALL.copy()
    valid[1, 2] = False
    picture = Stretch.identity().apply(np.full((3, 4, 5), 9, np.uint8), valid)
    assert (picture[:, 1, 2] == 0).all()
    assert (picture[:, valid] == 9).all()


def test_a_single_band_becomes_grey():
    band = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    picture = Stretch.identity(1).apply(band, ALL)
    assert picture.shape == (3, 4, 5)
    assert (picture == band).all()


def test_a_picture_with_other_bands_than_the_stretch_is_refused():
    with pytest.raises(ValueError, match="the stretch has 3 bands, the picture 1"):
        Stretch.identity(3).apply(np.zeros((1, 4, 5), np.uint8), ALL)
    with pytest.raises(ValueError, match="as many low as high"):
        Stretch((0.0,), (1.0, 2.0))


@pytest.mark.fault("R32")
def test_values_that_are_not_finite_become_black_without_a_warning():
    bands = np.array([[[np.nan, np.inf, -np.inf, 10.0]]], np.float32)
    assert Stretch((0,), (10,)).apply(bands, np.ones((1, 4), bool))[0].tolist() == [[0, 0, 0, 255]]


@pytest.mark.fault("R40")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_band_is_stretched_without_dividing_by_zero(dtype):
    sample = np.full(100, 7, dtype)
    stretch = StretchRule.parse("p2,p98").resolve([sample], dtype, is_picture=False)
    assert stretch.apply(np.full((1, 4, 5), 7, dtype), ALL).max() == 0


def test_a_rare_object_on_a_constant_ground_survives_the_percentiles():
    sample = np.full(10_000, 100, np.uint16)
    sample[:50] = 400
    stretch = StretchRule.parse("auto").resolve([sample], "uint16", is_picture=False)
    assert (stretch.low, stretch.high) == ((100,), (400,))


@pytest.mark.parametrize(("low", "high"), [(2, 98), (0, 100), (0.5, 99.5)])
def test_percentiles_are_those_of_numpy_over_the_finite_values(low, high):
    sample = np.random.default_rng(1).normal(50, 20, 5000)
    stretch = StretchRule.parse(f"p{low},p{high}").resolve(
        [np.append(sample, [np.nan, np.inf])], float, is_picture=True
    )
    assert (stretch.low[0], stretch.high[0]) == tuple(np.percentile(sample, (low, high)))


@given(st.permutations(list(range(40))))
def test_the_order_of_a_sample_does_not_matter(order):
    sample = np.random.default_rng(2).normal(size=40).astype(np.float32)
    rule = StretchRule.parse("auto")
    assert rule.resolve([sample[order]], "float32", is_picture=False) == rule.resolve(
        [sample], "float32", is_picture=False
    )


def test_auto_leaves_pictures_alone_and_none_leaves_everything_alone():
    values = [np.array([5.0, 9.0])] * 3
    assert StretchRule.parse("auto").resolve(values, "uint8", is_picture=True).is_identity
    assert not StretchRule.parse("auto").resolve(values, "uint16", is_picture=False).is_identity
    assert StretchRule.parse("none").resolve(values, "uint16", is_picture=False).is_identity
    assert StretchRule.parse("0, 4095").resolve(values, "uint16", is_picture=False) == Stretch((0,) * 3, (4095,) * 3)


def test_only_percentiles_need_a_sample():
    needs = {text: StretchRule.parse(text).needs_sample(is_picture=True) for text in ("auto", "none", "0,9", "p2,p98")}
    assert needs == {"auto": False, "none": False, "0,9": False, "p2,p98": True}
    assert StretchRule.parse("auto").needs_sample(is_picture=False)


@pytest.mark.fault("R39")
@pytest.mark.parametrize(("dtype", "limits"), [("uint16", (0, 65535)), ("int8", (-128, 127)), ("float32", (0, 1))])
def test_without_a_valid_value_the_stretch_is_the_range_of_the_type(dtype, limits):
    stretch = StretchRule.parse("auto").resolve([np.zeros(0, dtype)], dtype, is_picture=False)
    assert (stretch.low[0], stretch.high[0]) == limits


@pytest.mark.parametrize("text", ["", "p2", "2;98", "p98,p2", "5,5", "9,1", "p-1,p50", "p0,p101", "nan,1", "automatic"])
def test_other_rules_are_refused_with_the_four_that_exist(text):
    with pytest.raises(UsageError, match=r"expected auto, none, MIN,MAX .* or pLO,pHI") as caught:
        StretchRule.parse(text)
    assert f'"{text}"' in str(caught.value)


def test_a_stretch_survives_json():
    stretch = Stretch((0.5, 1, 2), (3, 4, 5))
    assert Stretch.from_json(stretch.to_json()) == stretch
