from ._architecture import (
    Architecture as Architecture,
)
from ._folder import (
    HuggingFaceFolder as HuggingFaceFolder,
    is_hugging_face_folder as is_hugging_face_folder,
    read_hugging_face_folder as read_hugging_face_folder,
)
from ._kinds import (
    KINDS as KINDS,
)
from ._network import (
    network_of_folder as network_of_folder,
)
