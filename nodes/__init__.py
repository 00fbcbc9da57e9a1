"""The pack's nodes: one module per job of the user."""

from .build.build_vectors import HRVBuildVectors
from .files.attention_files import HRVLoadAttention, HRVSaveAttention
from .files.demo_checkpoint import HRVDemoCheckpoint
from .files.vectors import HRVLoadVectors, HRVMergeVectors, HRVSaveVectors
from .look.compare_concepts import HRVCompareConcepts
from .look.heatmap import HRVHeatmap
from .look.lens import HRVLens
from .look.record import HRVRecordAttention
from .look.report import HRVPromptReport
from .research.mask_iou import HRVMaskIoU
from .research.weakening import HRVHeadSweep, HRVWeakeningCurve
from .select_heads.by_concept import HRVSelectHeads
from .select_heads.filter_heads import HRVFilterHeads
from .select_heads.for_word import HRVAutoHeads
from .steer.attend_excite import HRVAttendExcite
from .steer.prompt_edit import HRVPromptEdit, HRVRememberRun
from .steer.steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept


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
