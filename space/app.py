"""The page of `occlusion-search explore` as a Hugging Face Space."""

from agents.explore.page import look, make_page
from agents.explore.session import Models
from agents.explore.videos import list_choices

page = make_page(Models.load(), list_choices(None))

if __name__ == "__main__":
    page.launch(**look())
