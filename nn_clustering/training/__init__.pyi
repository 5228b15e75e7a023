from ._accuracies import (
    BY_CLASS as BY_CLASS,
    Accuracy as Accuracy,
    accuracies as accuracies,
)
from ._checkpoints import (
    Checkpoint as Checkpoint,
    EpochResult as EpochResult,
    restore_variables as restore_variables,
)
from ._clusterability import (
    clusterability_loss as clusterability_loss,
)
from ._epochs import (
    check_training as check_training,
    evaluate as evaluate,
    train as train,
)
from ._phases import (
    Augmentation as Augmentation,
    ClusterabilityGradient as ClusterabilityGradient,
    Penalty as Penalty,
    Phase as Phase,
    PruningSchedule as PruningSchedule,
    check_phase as check_phase,
    check_phase_fits as check_phase_fits,
)
from ._pruning import (
    magnitude_mask as magnitude_mask,
    prunable_kernels as prunable_kernels,
    sparsity as sparsity,
)
