from ._finding import (
    Found as Found,
    Kind as Kind,
    find as find,
)
from ._request import (
    Request as Request,
)
