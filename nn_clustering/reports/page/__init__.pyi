from ._page import study_page as study_page
from ._pictures import RunImage as RunImage, images_of as images_of
