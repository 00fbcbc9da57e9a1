"""The pack's nodes: one folder for each entry of the menu, one module for each job of the user."""

from .build.build_vectors import HRVBuildVectors
from .build.merge_vectors import HRVMergeVectors
from .files.attention_files import HRVLoadAttention, HRVSaveAttention
from .files.demo_checkpoint import HRVDemoCheckpoint
from .files.vectors import HRVLoadVectors, HRVSaveVectors
from .look.compare_concepts import HRVCompareConcepts
from .look.compare_recordings import HRVCompareRecordings
from .look.heatmap import HRVHeatmap
from .look.lens import HRVLens
from .look.model_effect import HRVModelEffect
from .look.record import HRVRecordAttention
from .look.record_image import HRVRecordImage
from .look.report import HRVPromptReport
from .look.word_effect import HRVWordEffect
from .research.mask_iou import HRVMaskIoU
from .research.weakening import HRVHeadSweep, HRVWeakeningCurve
from .select_heads.by_concept import HRVSelectHeads
from .select_heads.filter_heads import HRVFilterHeads
from .select_heads.for_word import HRVAutoHeads
from .steer.attend_excite import HRVAttendExcite
from .steer.prompt_edit import HRVPromptEdit, HRVRememberRun
from .steer.steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept


def all_nodes() -> list[type]:
    """Every node class, by entry of the menu."""
    look = [
        HRVRecordAttention,
        HRVHeatmap,
        HRVLens,
        HRVPromptReport,
        HRVWordEffect,
        HRVModelEffect,
        HRVCompareConcepts,
        HRVCompareRecordings,
        HRVRecordImage,
    ]
    select_heads = [HRVSelectHeads, HRVAutoHeads, HRVFilterHeads]
    steer = [
        HRVStrengthenConcept,
        HRVAdjustConcept,
        HRVScaleHeads,
        HRVAttendExcite,
        HRVRememberRun,
        HRVPromptEdit,
    ]
    build = [HRVBuildVectors, HRVMergeVectors]
    files = [HRVLoadVectors, HRVSaveVectors, HRVSaveAttention, HRVLoadAttention, HRVDemoCheckpoint]
    research = [HRVHeadSweep, HRVWeakeningCurve, HRVMaskIoU]
    return [*look, *select_heads, *steer, *build, *files, *research]
