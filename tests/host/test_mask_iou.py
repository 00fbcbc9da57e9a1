"""Mask IoU in the real host, with masks of ComfyUI's own nodes."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_masks_of_the_hosts_own_nodes(comfy):
    """A square drawn by one node against the same square grown by another: |square| / |grown|."""
    (ground,) = comfy.run_node("SolidMask", value=0.0, width=64, height=48)
    (square,) = comfy.run_node("SolidMask", value=1.0, width=20, height=20)
    (truth,) = comfy.run_node("MaskComposite", destination=ground, source=square, x=10, y=10, operation="add")
    (mask,) = comfy.run_node("GrowMask", mask=truth, expand=3, tapered_corners=False)
    (iou, table), shown = comfy.run_node_ui("HRVMaskIoU", mask=mask, truth=truth)
    assert (int(truth.sum()), int(mask.sum())) == (20**2, 26**2) and iou == 20**2 / 26**2
    assert shown["text"] == (table,) and f"| **0.3** | **{iou:.4f}** |" in table


def test_thresholds_are_checked_before_the_graph_runs(comfy):
    node = comfy.node_class("HRVMaskIoU")
    assert node.validate_inputs("0.3,0.4,0.5") is True and node.validate_inputs(None) is True
    assert "numbers from 0 to 1" in node.validate_inputs("30%")
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        comfy.run_node("HRVMaskIoU", mask=torch.zeros(1, 4, 4), truth=torch.zeros(1, 4, 4), thresholds="2")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 12), min_size=0, max_size=4),
    st.lists(st.integers(0, 12), min_size=0, max_size=4),
    st.sampled_from([torch.float32, torch.float16, torch.bool, torch.uint8]),
    st.text(max_size=12),
)
def test_any_masks_and_thresholds_give_a_number_or_one_line(comfy, mask, truth, dtype, thresholds):
    try:
        iou, table = comfy.run_node(
            "HRVMaskIoU",
            mask=(torch.rand(mask) * 3).to(dtype),
            truth=(torch.rand(truth) * 3).to(dtype),
            thresholds=thresholds or "0.5",
        )
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert 0 <= iou <= 1 and table.startswith("| threshold |")
