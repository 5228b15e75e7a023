from ._builders import (
    build_network as build_network,
)
from ._imagenet_networks import (
    build_imagenet_network as build_imagenet_network,
)
from ._imagenet_table import (
    N_CLASSES as N_CLASSES,
    ImageNetNetwork as ImageNetNetwork,
    imagenet_network as imagenet_network,
    imagenet_network_names as imagenet_network_names,
)
from ._keras_files import (
    network_bytes as network_bytes,
    network_from_bytes as network_from_bytes,
    network_of_run as network_of_run,
    read_network as read_network,
)
from ._modular import (
    modular_initialisation as modular_initialisation,
)
from ._network_settings import (
    check_modular_initialisation as check_modular_initialisation,
    check_network as check_network,
    most_units as most_units,
)
from ._precision import (
    in_float32 as in_float32,
)
from ._preprocessing import (
    PREPROCESSINGS as PREPROCESSINGS,
    ChannelMap as ChannelMap,
    channel_map as channel_map,
    check_preprocessing as check_preprocessing,
    n_channels as n_channels,
    preprocessing as preprocessing,
)
from ._read_file import (
    read_file as read_file,
)
from ._samples_and_outputs import (
    check_tokens as check_tokens,
    fitted_shape as fitted_shape,
    output_index as output_index,
    output_names as output_names,
)
from ._stored_inputs import (
    stored_sample_shape as stored_sample_shape,
    takes_tokens as takes_tokens,
)
from ._transformer_settings import (
    TokenInput as TokenInput,
)
from ._user_code import (
    model_code_path as model_code_path,
    network_code as network_code,
)
from ._weight_files import (
    load_weights as load_weights,
)
