import uuid

from tenter_folder.driver import FolderImages

from tenter.testing import ImageConformance


class TestFolderImages(ImageConformance):
    plugin = FolderImages

    def put_image(self, driver: FolderImages, data: bytes, owner: str, visibility: str):
        folder = driver.path / ("public" if visibility == "public" else owner)
        folder.mkdir(exist_ok=True)
        file = folder / f"{uuid.uuid4()}.raw"
        file.write_bytes(data)
        return driver.id_of(file)
