"""Plan images for LLaVA-style models: sizes in, layout and token counts out. Imports no torch."""

from anyres.geometry import HW, Box
from anyres.grid import GridSpec, TileSpec, choose_layout
from anyres.plan import Canvas, Segment, VisualPlan, plan_image

__all__ = ["HW", "Box", "Canvas", "GridSpec", "Segment", "TileSpec", "VisualPlan", "choose_layout", "plan_image"]
