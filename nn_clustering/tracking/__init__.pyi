from .errors import (
    DamagedArtifactError as DamagedArtifactError,
    InvalidInputError as InvalidInputError,
    NnClusteringError as NnClusteringError,
    RunNotFoundError as RunNotFoundError,
    ServerUnavailableError as ServerUnavailableError,
    TrackingError as TrackingError,
)
from .gridfs import whole_files as whole_files
from .omniboard.column_presets import preset_columns as preset_columns
from .omniboard.page import (
    omniboard_address as omniboard_address,
    start_omniboard as start_omniboard,
    stop_omniboard as stop_omniboard,
)
from .omniboard.run_page import RUN_PAGE as RUN_PAGE, run_address as run_address
from .own_code import OwnCode as OwnCode, named_code as named_code
from .run_ids import RunId as RunId
from .run_keys import request_digest as request_digest, store_id as store_id
from .server.connection import (
    Server as Server,
    connect as connect,
    find_server as find_server,
    project_root as project_root,
    resolve_server as resolve_server,
    stop_embedded as stop_embedded,
)
from .stages.experiment import StageExperiment as StageExperiment
from .stages.folders import check_writable as check_writable
from .stages.inputs import Input as Input, digests_of as digests_of
from .stages.reuse import ReusedRun as ReusedRun
from .stages.stage_run import StageRun as StageRun
from .store.backup import back_up as back_up
from .store.backup_files import Backup as Backup, Manifest as Manifest, read_backup as read_backup
from .store.dropping import Drop as Drop, DroppedArtifact as DroppedArtifact
from .store.lineage import Lineage as Lineage
from .store.liveness import UndeliveredRun as UndeliveredRun
from .store.query_conditions import parse_condition as parse_condition
from .store.restoring import restore_backup as restore_backup
from .store.run import Run as Run, StoredFile as StoredFile
from .store.run_store import RunStore as RunStore
from .store.runs import Runs as Runs
from .writing.capture import complete_capture as complete_capture
from .writing.observer import TrackingObserver as TrackingObserver
from .writing.sync import SyncReport as SyncReport, sync_journals as sync_journals
from .writing.track import make_observer as make_observer, track as track
