from ._class_names import (
    lists_all_classes as lists_all_classes,
)
from ._finding import (
    Found as Found,
    Kind as Kind,
    find as find,
)
from ._request import (
    Request as Request,
)
