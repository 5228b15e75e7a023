from ._data_files import (
    dataset_folders as dataset_folders,
)
from ._dataset import (
    NOT_ASKED as NOT_ASKED,
    TASKS as TASKS,
    WHITE_BYTE as WHITE_BYTE,
    Dataset as Dataset,
)
from ._groups import (
    Groups as Groups,
)
from ._loading import (
    dataset_names as dataset_names,
    dataset_task as dataset_task,
    fitted_settings as fitted_settings,
    is_own as is_own,
    load_dataset as load_dataset,
    outline_of_own as outline_of_own,
    require_dataset as require_dataset,
)
from ._outline import (
    Outline as Outline,
)
from ._samples import (
    Samples as Samples,
    changed as changed,
    chosen as chosen,
)
from ._settings import (
    checked_size as checked_size,
)
from ._synthetic import (
    monomial_membership as monomial_membership,
    polynomial_names as polynomial_names,
)
from ._weights import (
    WeightFile as WeightFile,
    given_file as given_file,
    weight_file as weight_file,
)
from .own import (
    lists_all_classes as lists_all_classes,
)
