"""The monthly service review: what it says (`build`), and where it is kept (`keep`). Drawn by caretaker_dashboards."""
