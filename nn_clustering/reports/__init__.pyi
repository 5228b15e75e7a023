from ._agreement_figures import (
    figure_of_contingency as figure_of_contingency,
    figure_of_profiles as figure_of_profiles,
)
from ._cluster_figures import (
    figure_of_clusters as figure_of_clusters,
)
from ._cluster_number_figures import (
    figure_of_cluster_numbers as figure_of_cluster_numbers,
)
from ._contact_sheets import (
    contact_sheets as contact_sheets,
)
from ._dependency_figures import (
    figure_of_dependencies as figure_of_dependencies,
)
from ._double_lesion_figures import (
    figure_of_double_lesions as figure_of_double_lesions,
)
from ._frequency_figures import (
    figure_of_frequencies as figure_of_frequencies,
)
from ._head_figures import (
    figure_of_heads as figure_of_heads,
)
from ._learning_curve_figures import (
    figure_of_learning_curves as figure_of_learning_curves,
)
from ._lesion_figures import (
    figure_of_class_changes as figure_of_class_changes,
    figure_of_lesions as figure_of_lesions,
)
from ._lesion_null_figures import (
    figure_of_lesion_nulls as figure_of_lesion_nulls,
)
from ._lesion_size_figures import (
    figure_of_importance_by_size as figure_of_importance_by_size,
)
from ._lesion_table import (
    LESIONS as LESIONS,
)
from ._network_table import (
    NetworkTable as NetworkTable,
    table_of_networks as table_of_networks,
)
from ._null_figures import (
    figure_of_null_distribution as figure_of_null_distribution,
    figure_of_random_networks as figure_of_random_networks,
)
from ._palette import (
    ISOLATED_COLOUR as ISOLATED_COLOUR,
    cluster_colours as cluster_colours,
    cluster_hatches as cluster_hatches,
)
from ._sample_pictures import (
    input_png as input_png,
)
from ._studied_networks import (
    NetworkTest as NetworkTest,
    StudiedNetwork as StudiedNetwork,
    studied_network as studied_network,
)
from ._study_figures import (
    study_figures as study_figures,
)
from ._study_report import (
    mixed_code as mixed_code,
    study_markdown as study_markdown,
)
from ._study_results import (
    StudyResults as StudyResults,
    condition_in_words as condition_in_words,
    file_word as file_word,
    is_fragile as is_fragile,
    read_results as read_results,
)
from ._study_table import (
    StudyTable as StudyTable,
)
from ._study_tables import (
    study_tables as study_tables,
)
from ._visualisation_figures import (
    figure_of_visualisation_nulls as figure_of_visualisation_nulls,
)
from ._visualisation_table import (
    VISUALISATIONS as VISUALISATIONS,
)
from .drawing._network import (
    draw_network as draw_network,
)
