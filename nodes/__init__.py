"""The pack's nodes: one module per job of the user."""

from .attend_excite import HRVAttendExcite
from .attention_files import HRVLoadAttention, HRVSaveAttention
from .auto_heads import HRVAutoHeads
from .build_vectors import HRVBuildVectors
from .compare_concepts import HRVCompareConcepts
from .demo_checkpoint import HRVDemoCheckpoint
from .filter_heads import HRVFilterHeads
from .heatmap import HRVHeatmap
from .lens import HRVLens
from .mask_iou import HRVMaskIoU
from .prompt_edit import HRVPromptEdit, HRVRememberRun
from .record import HRVRecordAttention
from .report import HRVPromptReport
from .select_heads import HRVSelectHeads
from .steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept
from .vectors import HRVLoadVectors, HRVMergeVectors, HRVSaveVectors
from .weakening import HRVHeadSweep, HRVWeakeningCurve


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
