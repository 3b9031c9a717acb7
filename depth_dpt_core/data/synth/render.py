# SPDX-License-Identifier: Apache-2.0
"""Ray-cast a street: colour with sun, shadow, ambient occlusion and haze; exact depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.data.synth.materials import Hits, albedo, sky
from depth_dpt_core.data.synth.mesh import Floats, Material
from depth_dpt_core.data.synth.street import Street

SAMPLES = 2  # per pixel and direction
_OCCLUSION_REACH = 2.5  # m
_NEAR = 0.02  # m, start of secondary rays off the surface


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

    def rays(self, samples: int = 1) -> tuple[Floats, Floats]:
        """Directions through a `samples` x `samples` grid in every pixel, and their z shares.

        Returns:
            Unit directions [samples*H*samples*W, 3], and for each the camera-z component, so
            that depth = ray length * component.
        """
        k = self.intrinsics
        x = (np.arange(self.width * samples) + 0.5) / samples - 0.5
        y = (np.arange(self.height * samples) + 0.5) / samples - 0.5
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
        self._corners = mesh.vertices[mesh.faces]
        normal = np.cross(
            self._corners[:, 1] - self._corners[:, 0], self._corners[:, 2] - self._corners[:, 0]
        )
        self._normals = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        self._scene = scene()
        self._triangles = triangle_mesh(self._scene, self._corners)

    def depth(self, view: View) -> Floats:
        """Distance along camera z at every pixel centre [H,W], metres; infinite in the sky."""
        directions, cosine = view.rays()
        hit = self._cast(view.position, directions)
        depth = np.where(hit["primID"] >= 0, hit["tfar"] * cosine, np.inf)
        return np.asarray(depth.reshape(view.height, view.width), np.float32)

    def clearance(self, view: View) -> float:
        """Distance along camera z to the nearest thing in a coarse grid of rays, metres."""
        coarse = View(view.position, view.axes, view.intrinsics.scaled(1 / 8, 1 / 8),
                      view.width // 8, view.height // 8)  # fmt: skip
        return float(self.depth(coarse).min())

    def color(self, view: View, rng: np.random.Generator) -> Floats:
        """Linear colour [H,W,3] (1 = white surface in bright light), box-filtered."""
        street, light = self._street, self._street.light
        directions, _ = view.rays(SAMPLES)
        hit = self._cast(view.position, directions)
        seen = np.flatnonzero(hit["primID"] >= 0)
        toward, distance = directions[seen], hit["tfar"][seen]
        face = hit["primID"][seen]
        normal = self._normals[face]
        facing = np.einsum("ij,ij->i", normal, toward)
        normal = np.where(facing[:, None] > 0, -normal, normal)
        point = view.position + toward * distance[:, None] + normal * _NEAR

        surface = self._surface(hit, seen, distance / view.intrinsics.fx)
        base = albedo(surface, street.mesh.material[face], street)
        sunlit = np.clip(normal @ light.sun_direction, 0, 1)
        if light.sun_color.any():
            sunlit *= self._free(point, np.broadcast_to(light.sun_direction, point.shape))
        image = np.zeros((len(directions), 3), np.float32)
        image[seen] = 1.0
        openness = self._openness(point, normal, seen, view, rng)
        ambient = light.sky_color * (0.62 + 0.38 * normal[:, 1:2]) * openness[:, None]
        shaded = base * (sunlit[:, None] * light.sun_color + ambient)
        glossy = np.flatnonzero(street.mesh.material[face] == Material.PAINT)
        shaded[glossy] += self._reflection(toward[glossy], normal[glossy]) * openness[glossy, None]
        # Koschmieder: contrast falls to 2 % at the visibility
        clear = np.exp(-3.9 * distance / light.visibility)[:, None]
        image[seen] = shaded * clear + light.horizon_color * (1 - clear)
        empty = np.flatnonzero(hit["primID"] < 0)
        image[empty] = sky(directions[empty], street)
        tall, wide = view.height * SAMPLES, view.width * SAMPLES
        return np.asarray(
            cv2.resize(
                image.reshape(tall, wide, 3),
                (view.width, view.height),
                interpolation=cv2.INTER_AREA,
            ),
            np.float32,
        )

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
        self,
        point: Floats,
        normal: Floats,
        seen: NDArray[np.intp],
        view: View,
        rng: np.random.Generator,
    ) -> Floats:
        """Ambient occlusion: one cosine-weighted short ray a sample, smoothed over neighbours."""
        scatter = rng.standard_normal(point.shape, np.float32)
        scatter /= np.linalg.norm(scatter, axis=1, keepdims=True)
        outward = normal + scatter
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
        grid = np.ones(view.height * view.width * SAMPLES**2, np.float32)
        grid[seen] = self._free(point, outward, _OCCLUSION_REACH)
        tall = grid.reshape(view.height * SAMPLES, view.width * SAMPLES)
        smooth = cv2.blur(tall, (7, 5)).ravel()[seen]
        return np.asarray(0.2 + 0.8 * smooth, np.float32)

    def _reflection(self, toward: Floats, normal: Floats) -> Floats:
        """Sky mirrored in clear coat, Schlick's approximation with 4 % at normal incidence."""
        cosine = -np.einsum("ij,ij->i", toward, normal)
        mirrored = toward + 2 * cosine[:, None] * normal
        share = 0.04 + 0.96 * np.clip(1 - cosine, 0, 1) ** 5
        bright = sky(mirrored, self._street) * (mirrored[:, 1:2] > 0)
        highlight = np.clip(mirrored @ self._street.light.sun_direction, 0, 1) ** 200
        return np.asarray(
            share[:, None] * (bright + 4 * highlight[:, None] * self._street.light.sun_color),
            np.float32,
        )

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
