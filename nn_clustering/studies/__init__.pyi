from ._cells import Cell as Cell, cells_of as cells_of, full_config as full_config
from ._costs import Costs as Costs
from ._orders import Orders as Orders
from ._plan import Plan as Plan
from ._spec import (
    Case as Case,
    Published as Published,
    Step as Step,
    Study as Study,
    read_study as read_study,
)
from ._stages import Needs as Needs, Stage as Stage, Stages as Stages
from ._stored import (
    StoredCell as StoredCell,
    find_completed as find_completed,
    without_changed_inputs as without_changed_inputs,
)
