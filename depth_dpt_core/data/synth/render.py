# SPDX-License-Identifier: Apache-2.0
"""Ray-cast a street: colour with sun, shadow, ambient occlusion and haze; exact depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.synth.geometry.mesh import Floats, Material
from depth_dpt_core.data.synth.street.street import Street
from depth_dpt_core.data.synth.surfaces.albedo import albedo
from depth_dpt_core.data.synth.surfaces.noise import Hits
from depth_dpt_core.data.synth.surfaces.sky import sky

_OCCLUSION_REACH = 2.5  # m
_CELL = 4  # pixels, over which ambient occlusion is averaged
_ENCLOSED = 3.5  # m; lorries are lower inside, bridges higher
_NEAR = 0.02  # m, start of secondary rays off the surface


def _spread_directions() -> Floats:
    """Unit vectors [_CELL,_CELL,3] spread evenly over the sphere (Fibonacci lattice), shuffled."""
    count = _CELL**2
    index = np.random.default_rng(0).permutation(count)
    height = 1 - (2 * index + 1) / count
    angle = np.pi * (1 + 5**0.5) * index
    flat = np.sqrt(1 - height**2)
    points = np.stack([flat * np.cos(angle), height, flat * np.sin(angle)], 1)
    return np.asarray(points.reshape(_CELL, _CELL, 3), np.float32)


_SPREAD = _spread_directions()


class RendererMissingError(RuntimeError):
    """The ray caster is not installed."""


def ray_caster() -> tuple[Any, Any]:
    """The scene and triangle mesh classes of embreex (Intel Embree).

    Raises:
        RendererMissingError: it is not installed.
    """
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise RendererMissingError(
            "synthetic streets need the package embreex (wheels for x86_64): "
            "pip install 'depth_dpt_ros[synth]'"
        ) from error
    return EmbreeScene, TriangleMesh


@dataclass(frozen=True)
class View:
    """A camera in the world: position [3], axes [3,3] (columns right, down, forward)."""

    position: Floats
    axes: Floats
    intrinsics: Intrinsics
    width: int
    height: int
    mounting: Mounting  # above the road where the camera stands

    def rays(self, *, corners: bool = False) -> tuple[Floats, Floats]:
        """Directions through the pixels' centres, or through their corners, and their z shares.

        Returns:
            Unit directions [H*W, 3], of corners [(H+1)*(W+1), 3], and for each the camera-z
            component, so that depth = ray length * component.
        """
        k = self.intrinsics
        x = np.arange(self.width + corners) - 0.5 * corners
        y = np.arange(self.height + corners) - 0.5 * corners
        gx, gy = np.meshgrid((x - k.cx) / k.fx, (y - k.cy) / k.fy)
        local = np.stack([gx, gy, np.ones_like(gx)], -1).reshape(-1, 3)
        length = np.linalg.norm(local, axis=1)
        world = (local / length[:, None]) @ self.axes.T
        return world.astype(np.float32), (1 / length).astype(np.float32)


class Renderer:
    """Casts rays into one street.

    Raises:
        RendererMissingError: embreex (Intel Embree) is not installed.
    """

    def __init__(self, street: Street) -> None:
        scene, triangle_mesh = ray_caster()
        self._street = street
        mesh = street.mesh
        first, second, third = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        normal = np.cross(second - first, third - first)
        self._normals = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        self._scene = scene()
        self._triangles = triangle_mesh(self._scene, mesh.vertices, mesh.faces)

    def depth(self, view: View) -> Floats:
        """Distance along camera z at every pixel centre [H,W], metres; infinite in the sky."""
        directions, cosine = view.rays()
        hit = self._cast(view.position, directions)
        return _depth(hit, cosine).reshape(view.height, view.width)

    def clearance(self, view: View) -> float:
        """Distance along camera z to the nearest thing in a coarse grid of rays, metres."""
        coarse = replace(
            view,
            intrinsics=view.intrinsics.scaled(1 / 8, 1 / 8),
            width=view.width // 8,
            height=view.height // 8,
        )
        return float(self.depth(coarse).min())

    def is_enclosed(self, view: View) -> bool:
        """Whether the camera stands inside something: two walls opposite and a lid above."""
        right, ahead = view.axes[:, 0], view.axes[:, 2]
        directions = np.stack([np.array([0, 1, 0]), right, -right, ahead, -ahead])
        near = self._cast(view.position, directions.astype(np.float32))["tfar"] < _ENCLOSED
        return bool(near[0] and (near[1:3].all() or near[3:].all()))

    def color_and_depth(self, view: View) -> tuple[Floats, Floats]:
        """Linear colour [H,W,3] (1 = white surface in bright light), and `depth`.

        Colour is half that of the centre and half that of the corners, which neighbours share:
        edges nearly as smooth as those of four rays a pixel, for two (quincunx).
        """
        centers, cosine = view.rays()
        corners, _ = view.rays(corners=True)
        directions = np.concatenate([centers, corners])
        hit = self._cast(view.position, directions)
        shaded = self._shade(view, directions, hit)
        height, width, count = view.height, view.width, len(centers)
        corner = shaded[count:].reshape(height + 1, width + 1, 3)
        around = corner[:-1, :-1] + corner[:-1, 1:] + corner[1:, :-1] + corner[1:, 1:]
        color = 0.5 * shaded[:count].reshape(height, width, 3) + 0.125 * around
        depth = _depth({name: hit[name][:count] for name in ("primID", "tfar")}, cosine)
        return np.asarray(color, np.float32), depth.reshape(height, width)

    def _shade(self, view: View, directions: Floats, hit: dict[str, NDArray[Any]]) -> Floats:
        """Linear colour of each ray [N,3]: those of pixels' centres, then of their corners."""
        light, mesh = self._street.light, self._street.mesh
        seen = np.flatnonzero(hit["primID"] >= 0)
        toward, distance = directions[seen], hit["tfar"][seen]
        face = hit["primID"][seen]
        material = mesh.material[face]
        flat, normal = self._normals_at(hit, seen, toward)
        # pushed out along both normals: a smooth body must not shade its own triangles in steps
        point = view.position + toward * distance[:, None] + flat * _NEAR + normal * _NEAR

        surface = self._surface(hit, seen, distance / view.intrinsics.fx)
        base = albedo(surface, material, self._street.layout)
        openness = self._openness(point, normal, seen, view)[:, None]
        ambient = light.sky_color * (0.6 + 0.4 * normal[:, 1:2]) * openness
        shaded = base * (
            self._sunlit(point, normal, material)[:, None] * light.sun_color + ambient
        )
        self._add_reflections(shaded, point, toward, normal, material, openness)
        shining = np.flatnonzero(material == Material.LAMP)
        shaded[shining] += 1.5 * base[shining]
        # Koschmieder: contrast falls to 2 % at the visibility
        clear = np.exp(-3.9 * distance / light.visibility)[:, None]
        image = np.empty((len(directions), 3), np.float32)
        image[seen] = shaded * clear + light.horizon_color * (1 - clear)
        empty = np.flatnonzero(hit["primID"] < 0)
        image[empty] = sky(directions[empty], light)
        return image

    def _sunlit(self, point: Floats, normal: Floats, material: NDArray[np.int32]) -> Floats:
        """Share of the sun's light that falls on each point [N]."""
        light = self._street.light
        if not light.sun_color.any():
            return np.zeros(len(point), np.float32)
        facing = normal @ light.sun_direction
        # leaves let light through and lie in all directions
        leafy = material == Material.LEAF
        share = np.where(leafy, 0.35 + 0.5 * np.clip(facing, -0.6, 1), np.clip(facing, 0, 1))
        lit = np.flatnonzero(share > 0)
        toward_sun = np.broadcast_to(light.sun_direction, (len(lit), 3))
        share[lit] *= self._free(point[lit], toward_sun)
        return np.asarray(share, np.float32)

    def _add_reflections(
        self,
        shaded: Floats,
        point: Floats,
        toward: Floats,
        normal: Floats,
        material: NDArray[np.int32],
        openness: Floats,
    ) -> None:
        """Add what paint, glass and wet asphalt mirror, by Schlick's approximation."""
        light = self._street.light
        wet = light.wet or -1.0
        base = np.select(
            [material == Material.PAINT, material == Material.GLASS, material == Material.ROAD],
            [0.04, 0.05, 0.02 * wet],
        )
        glossy = np.flatnonzero(base > 0)
        toward, normal = toward[glossy], normal[glossy]
        cosine = np.clip(-np.einsum("ij,ij->i", toward, normal), 0, 1)
        share = base[glossy] + (1 - base[glossy]) * (1 - cosine) ** 5
        share *= np.where(material[glossy] == Material.ROAD, 0.6 * light.wet, 1.0)
        mirrored = toward + 2 * cosine[:, None] * normal
        mirrored /= np.sqrt(np.einsum("ij,ij->i", mirrored, mirrored))[:, None]
        highlight = np.clip(mirrored @ light.sun_direction, 0, 1) ** 200
        seen = self._mirrored(point[glossy], mirrored) + 4 * highlight[:, None] * light.sun_color
        shaded[glossy] += (share * openness[glossy, 0])[:, None].astype(np.float32) * seen

    def _mirrored(self, point: Floats, direction: Floats) -> Floats:
        """What is seen from `point` [N,3] along `direction`, in plain colours, without shadows."""
        light, mesh = self._street.light, self._street.mesh
        face = self._cast(point, direction)["primID"]
        seen = mesh.color[face] * (0.8 * light.sky_color + 0.35 * light.sun_color)
        empty = np.flatnonzero(face < 0)
        seen[empty] = sky(direction[empty], light)
        return np.asarray(seen, np.float32)

    def _cast(self, origin: Floats, directions: Floats) -> dict[str, NDArray[Any]]:
        origins = np.ascontiguousarray(np.broadcast_to(origin, directions.shape), np.float32)
        answer: dict[str, NDArray[Any]] = self._scene.run(origins, directions, output=True)
        return answer

    def _free(self, points: Floats, directions: Floats, reach: float = 1e4) -> Floats:
        """1 where nothing stands within `reach` metres, else 0."""
        blocked = self._scene.run(
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(directions, np.float32),
            dists=np.full(len(points), reach, np.float32),
            query="OCCLUDED",
        )
        return np.asarray(blocked < 0, np.float32)

    def _openness(
        self, point: Floats, normal: Floats, seen: NDArray[np.intp], view: View
    ) -> Floats:
        """Ambient occlusion: one cosine-weighted short ray a pixel, averaged over neighbours.

        The directions of each 4 x 4 pixels are spread evenly, so that an average over as many
        leaves no grain.
        """
        first = seen < view.height * view.width
        y, x = np.divmod(seen[first], view.width)
        outward = normal[first] + _SPREAD[y % _CELL, x % _CELL]
        outward /= np.sqrt(np.einsum("ij,ij->i", outward, outward))[:, None] + 1e-6
        grid = np.ones((view.height, view.width), np.float32)
        grid[y, x] = self._free(point[first], outward, _OCCLUSION_REACH)
        # an even number of pixels is centred on a corner
        padded = cv2.copyMakeBorder(grid, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
        corners = cv2.blur(padded, (_CELL, _CELL), borderType=cv2.BORDER_REPLICATE)
        centers = cv2.blur(corners, (2, 2), anchor=(0, 0))[:-1, :-1]
        every = np.concatenate([centers.reshape(-1), corners.reshape(-1)])
        return np.asarray(0.15 + 0.85 * every[seen], np.float32)

    def _normals_at(
        self, hit: dict[str, NDArray[Any]], seen: NDArray[np.intp], toward: Floats
    ) -> tuple[Floats, Floats]:
        """Normals of the triangles, towards the viewer, and those that light is computed with."""
        mesh, face = self._street.mesh, hit["primID"][seen]
        flat = self._normals[face]
        away = np.einsum("ij,ij->i", flat, toward) > 0
        flat = np.where(away[:, None], -flat, flat)
        u, v = hit["u"][seen], hit["v"][seen]
        smooth = np.einsum(
            "ij,ijk->ik", np.stack([1 - u - v, u, v], 1), mesh.normals[mesh.faces[face]]
        )
        length = np.sqrt(np.einsum("ij,ij->i", smooth, smooth))
        behind = np.einsum("ij,ij->i", smooth, flat) < 0
        behind &= mesh.material[face] != Material.LEAF
        smooth = np.where(behind[:, None], -smooth, smooth) / np.maximum(length, 1e-6)[:, None]
        return flat, np.where(length[:, None] > 0.1, smooth, flat).astype(np.float32)

    def _surface(
        self, hit: dict[str, NDArray[Any]], seen: NDArray[np.intp], footprint: Floats
    ) -> Hits:
        mesh = self._street.mesh
        face = hit["primID"][seen]
        u, v = hit["u"][seen], hit["v"][seen]
        weights = np.stack([1 - u - v, u, v], 1)
        texture = np.einsum("ij,ijk->ik", weights, mesh.texture[mesh.faces[face]])
        return Hits(
            texture[:, 0].astype(np.float32),
            texture[:, 1].astype(np.float32),
            footprint.astype(np.float32),
            mesh.color[face],
            mesh.pattern[face],
        )


def _depth(hit: dict[str, NDArray[Any]], cosine: Floats) -> Floats:
    return np.asarray(np.where(hit["primID"] >= 0, hit["tfar"] * cosine, np.inf), np.float32)
