"""The pack's nodes: one module per job of the user."""

from .build.build_vectors import HRVBuildVectors
from .files.attention_files import HRVLoadAttention, HRVSaveAttention
from .files.demo_checkpoint import HRVDemoCheckpoint
from .files.vectors import HRVLoadVectors, HRVMergeVectors, HRVSaveVectors
from .heads.filter_heads import HRVFilterHeads
from .heads.heads_for_word import HRVAutoHeads
from .heads.select_heads import HRVSelectHeads
from .look.compare_concepts import HRVCompareConcepts
from .look.heatmap import HRVHeatmap
from .look.lens import HRVLens
from .look.mask_iou import HRVMaskIoU
from .look.record import HRVRecordAttention
from .look.report import HRVPromptReport
from .steer.attend_excite import HRVAttendExcite
from .steer.prompt_edit import HRVPromptEdit, HRVRememberRun
from .steer.steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept
from .steer.weakening import HRVHeadSweep, HRVWeakeningCurve


def all_nodes() -> list[type]:
    """Every node class, in the order of the node menu."""
    return [
        HRVRecordAttention,
        HRVHeatmap,
        HRVLens,
        HRVPromptReport,
        HRVLoadVectors,
        HRVSelectHeads,
        HRVAutoHeads,
        HRVFilterHeads,
        HRVCompareConcepts,
        HRVBuildVectors,
        HRVSaveVectors,
        HRVMergeVectors,
        HRVStrengthenConcept,
        HRVAdjustConcept,
        HRVScaleHeads,
        HRVAttendExcite,
        HRVRememberRun,
        HRVPromptEdit,
        HRVHeadSweep,
        HRVWeakeningCurve,
        HRVMaskIoU,
        HRVSaveAttention,
        HRVLoadAttention,
        HRVDemoCheckpoint,
    ]
