"""Axes, cells, plans that are equal, prices of a sweep, broken wiring and the Pareto front."""

import itertools
import random
import re

import pytest

from anyres.cost import encoder_flops, prefill_flops, projector_flops
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import plan_image
from evals.ablation.axes import Ablation, Axis, Cell, Point, baseline, cells
from evals.ablation.axis_kinds import KINDS
from evals.ablation.pareto import pareto_front
from evals.ablation.planner import Planner, Setting, SizedMedium, SizedSample
from evals.ablation.prices import PricePoint, price_sweep
from evals.ablation.wiring import end_places, rewire, tile_order
from models.encoders.spec import EncoderSpec
from models.spec import LlmSpec, ModelSpec, ProjectorSpec
from video.clip import ClipMeta, VideoSpec

ENCODER = EncoderSpec(
    backend="hf_siglip", weights="", tile_px=56, patch_px=14, dim=32, layers=2, heads=2, mlp=64, layer=-1,
    prefix_tokens=0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), act="gelu_tanh", norm_eps=1e-6,
)  # fmt: skip
LLM = LlmSpec(kind="llama", hidden=48, layers=2, heads=4, kv_heads=4, mlp=96, vocab=100, context=256, rope_theta=1e4)


def spec(layouts: list[tuple[int, int]], **video: object) -> ModelSpec:
    return ModelSpec(
        name="tiny",
        encoder=ENCODER,
        projector=ProjectorSpec(kind="linear", dim_in=32, dim_out=48),
        llm=LLM,
        grid=GridSpec(layouts=tuple(HW(*layout) for layout in layouts)),
        video=VideoSpec(**video),
        template="plain",
    )


def setting(name: str, layouts: list[tuple[int, int]], **video: object) -> Setting:
    return Setting(name=name, spec=spec(layouts, **video))


def image(name: str, h: int, w: int, text_tokens: int = 0) -> SizedSample:
    return SizedSample(id=name, media=(SizedMedium(key=name, size=HW(h, w)),), text_tokens=text_tokens)


def test_cells_are_the_product_of_the_axes_last_fastest() -> None:
    ablation = Ablation(
        name="frames",
        title="Frames",
        axes=(
            Axis(name="frames", key="video.num_frames", values=(4, 8), labels=("4 frames", "8 frames")),
            Axis(name="rope", key="rope_factor", values=(1.0, 2.0)),
        ),
    )
    found = cells(ablation)
    assert [cell.setting for cell in found] == ["4 frames, 1.0", "4 frames, 2.0", "8 frames, 1.0", "8 frames, 2.0"]
    assert found[3].overrides == ["video.num_frames=8", "rope_factor=2.0"]
    assert baseline(ablation) == "4 frames, 1.0"


def test_points_set_several_keys_and_null() -> None:
    axis = Axis(
        name="size", points=(Point(label="free", set={"grid": "3x3", "grid.target_tok": None, "beyond_context": True}),)
    )
    (cell,) = cells(Ablation(name="a", title="A", axes=(axis,)))
    assert cell.overrides == ["grid=3x3", "grid.target_tok=null", "beyond_context=true"]


def test_folder_names_are_plain() -> None:
    assert Cell(setting="3x3, tau 58", labels=(), set={}).folder == "3x3__tau_58"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            (Axis(name="a", key="video.pool", values=(1,)), Axis(name="b", key="video.pool", values=(2,))),
            "'b' sets 'video.pool' a second time",
        ),
        ((), "at least one axis"),
    ],
)
def test_impossible_sweeps_are_refused(axes: tuple[Axis, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ablation(name="bad", title="Bad", axes=axes)


def test_bad_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="either `points`, or `key`"):
        Axis(name="empty")
    with pytest.raises(ValueError, match="2 labels for 1 values"):
        Axis(name="grid", key="grid", values=("a",), labels=("x", "y"))
    with pytest.raises(ValueError, match="same label"):
        Axis(name="grid", key="grid", values=("a", "a"))
    with pytest.raises(ValueError, match="baseline 'c' is not a setting"):
        Ablation(name="x", title="X", axes=(Axis(name="grid", key="grid", values=("a", "b")),), baseline="c")


def test_price_by_hand() -> None:
    # 168 x 168 at 3x3 tiles of 56 px, 4 x 4 tokens: overview 16, detail 12 rows of 12 + 1: 172 tokens, 10 tiles
    (price,) = price_sweep(
        [PricePoint(setting=setting("3x3", [(3, 3)]), samples=(image("a", 168, 168, 20), image("b", 168, 168, 20)))]
    )
    assert (price.tokens_mean, price.tokens_median, price.tokens_max) == (172, 172, 172)
    assert (price.tiles, price.new_tiles, price.shared, price.over_context) == (20, 20, 0, 0)
    llm = prefill_flops(LLM, 192) + projector_flops(spec([]).projector, 160)
    assert price.llm_flops == 2 * llm
    assert price.flops == price.flops_to_run == 2 * llm + encoder_flops(ENCODER, 20)


def test_equal_plans_run_once_and_tiles_are_encoded_once() -> None:
    # a 56 x 56 image takes 1x1 from both lists, so its second point is known; the 112 x 112 one takes 2x2 there
    settings = [setting("up to 1x1", [(1, 1)]), setting("up to 2x2", [(1, 1), (2, 2)])]
    samples = (image("small", 56, 56), image("large", 112, 112))
    first, second = price_sweep([PricePoint(setting=one, samples=samples) for one in settings])
    assert (first.shared, first.new_tiles) == (0, 2 + 2 - 2)
    # overview and 1x1 detail have the same content box, so they are one tile; then 4 more for 2x2
    assert (second.shared, second.tiles, second.new_tiles) == (1, 2 + 5, 4)
    assert second.flops_to_run < second.flops


def test_keys_differ_with_everything_an_answer_depends_on() -> None:
    planner = Planner()
    clip = SizedSample(
        id="c", media=(SizedMedium(key="c", size=ClipMeta(num_frames=64, fps=8.0, size=HW(56, 56), duration_s=8.0)),)
    )
    page = image("a", 100, 100)
    grid = setting("g", [(2, 2)])
    variants = [
        planner.key(page, grid),
        planner.key(page, setting("g", [(3, 3)])),
        planner.key(page, Setting(name="g", spec=grid.spec, weights="other")),
        planner.key(page, Setting(name="g", spec=grid.spec, wiring="shuffled_tiles")),
        planner.key(image("b", 100, 100), grid),
        planner.key(clip, setting("v", [], num_frames=4)),
        planner.key(clip, setting("v", [], num_frames=8)),
        planner.key(clip, setting("v", [], num_frames=4, pool_before_projector=True)),
        planner.key(clip, setting("v", [], num_frames=4, policy="interior")),
    ]
    assert len(set(variants)) == len(variants)
    # the grid does not matter to a clip, nor the name of a setting to anything
    assert planner.key(clip, setting("w", [(3, 3)], num_frames=4)) == variants[5]


def test_samples_beyond_the_context_are_counted() -> None:
    (price,) = price_sweep(
        [PricePoint(setting=setting("3x3", [(3, 3)]), samples=(image("a", 168, 168, 84), image("b", 168, 168, 85)))]
    )
    assert price.over_context == 1


def test_pricing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        price_sweep([PricePoint(setting=setting("3x3", [(3, 3)]), samples=())])


def test_wiring_none_changes_nothing() -> None:
    plan = plan_image(HW(168, 112), GridSpec(layouts=(HW(3, 2),)), ENCODER.tile)
    assert rewire(plan, "none") is plan
    assert tile_order(plan, "none", "s") == list(range(7))


def test_swapped_rows_and_columns_by_hand() -> None:
    plan = plan_image(HW(168, 112), GridSpec(layouts=(HW(3, 2),)), ENCODER.tile)
    # the overview is tile 0; 3 rows of 2: place (r, c) gets the tile of place c * 3 + r
    assert tile_order(plan, "swapped_rows_cols", "s") == [0, 1, 4, 2, 5, 3, 6]


def test_shuffled_tiles_stay_in_their_canvas_and_always_move() -> None:
    plan = plan_image(HW(112, 112), GridSpec(layouts=(HW(2, 2),)), ENCODER.tile)
    orders = [tile_order(plan, "shuffled_tiles", str(seed)) for seed in range(40)]
    assert all(order[0] == 0 and sorted(order) == [0, 1, 2, 3, 4] != order for order in orders)
    assert tile_order(plan, "shuffled_tiles", "7") == orders[7]
    assert len({tuple(order) for order in orders}) > 10


def test_dropped_row_ends_by_hand() -> None:
    plan = plan_image(HW(56, 56), GridSpec(layouts=(HW(1, 1),)), ENCODER.tile)
    # 16 of the overview, then rows of 4 tokens and an end
    assert plan.num_tokens == 36
    assert end_places(plan) == {20, 25, 30, 35}
    assert rewire(plan, "no_row_ends").num_tokens == 32


def test_pareto_front_equals_brute_force() -> None:
    draw = random.Random(1)
    for _ in range(200):
        points = [(draw.randrange(6), draw.randrange(6)) for _ in range(draw.randrange(1, 9))]
        front = {points[i] for i in pareto_front([c for c, _ in points], [s for _, s in points])}

        beaten = {p for p in points for o in points if o != p and o[0] <= p[0] and o[1] >= p[1]}
        assert front == set(points) - beaten
    assert [i for i, _ in itertools.groupby(pareto_front([1, 1, 2], [0.5, 0.5, 0.4]))] == [0]


def test_every_kind_names_a_key_and_refuses_what_it_does_not_take() -> None:
    assert len({kind.key for kind in KINDS.values()}) == len(KINDS) >= 25
    for name, kind in KINDS.items():
        # no axis takes an empty name
        with pytest.raises(ValueError, match=rf"axis 'a', .*{kind.key}=''.* expected "):
            Axis(name="a", kind=name, values=("",))


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"kind": "token-cap", "values": (0,)}, "grid.target_tok=0, expected a whole number of at least 1 or null"),
        ({"kind": "frames", "values": (True,)}, "video.num_frames=True, expected a whole number"),
        ({"kind": "pooling-mode", "values": ("mean",)}, "expected one of average, bilinear, max, none"),
        ({"kind": "dead-zone", "values": (0.9,)}, "expected a number of at least 1"),
        ({"kind": "fps", "values": (0.0,)}, "expected a number above 0 or null"),
        ({"key": "rope_factor", "values": ("2",)}, "expected a number of at least 1"),
        ({"kind": "reduce", "values": (3,)}, "expected one of 1, 2, 4, 8"),
        ({"kind": "token-cup", "values": (1,)}, "did you mean token-cap"),
        ({"key": "device", "values": ("cpu",)}, "device is no axis"),
        ({"key": "rope_facto", "values": (1.0,)}, "did you mean rope_factor"),
        ({"points": (Point(label="p", set={"limit": 3}),)}, "limit is no axis"),
        ({"kind": "frames", "key": "video.num_frames", "values": (1,)}, "give either"),
    ],
)
def test_wrong_axes_say_what_is_expected(axis: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Axis(name="a", **axis)


def test_a_kind_sets_its_key() -> None:
    (cell,) = cells(Ablation(name="a", title="A", axes=(Axis(name="cap", kind="token-cap", values=(64,)),)))
    assert cell.overrides == ["grid.target_tok=64"]
