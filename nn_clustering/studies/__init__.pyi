from ._cells import Cell as Cell, cells_of as cells_of, full_config as full_config
from ._costs import Costs as Costs
from ._handing_out import (
    CarriedOut as CarriedOut,
    Patience as Patience,
    carry_out as carry_out,
)
from ._orders import Orders as Orders
from ._plan import Plan as Plan
from ._progress import Progress as Progress
from ._schedulers import SchedulerUnavailableError as SchedulerUnavailableError
from ._snapshot import snapshot_of as snapshot_of
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
from ._workplace import (
    check_workplace as check_workplace,
    check_workplace_is_there as check_workplace_is_there,
    workplace as workplace,
)
