// The scene: bodies, floor, the video's camera, and the view. y up, metres, as in the GLB file.

import {
  AnimationMixer, BufferGeometry, Color, DirectionalLight, DoubleSide, Float32BufferAttribute, Group, HemisphereLight,
  Line, LineBasicMaterial, LineSegments, LoopOnce, Matrix4, Mesh, MeshBasicMaterial, MeshStandardMaterial,
  PCFShadowMap, PerspectiveCamera, PlaneGeometry, Quaternion, Scene, ShaderMaterial, ShadowMaterial, SkeletonHelper,
  SRGBColorSpace, Vector3, VideoTexture, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

import { rowAt } from "./rows.js";

const GUESS = new Color("#9aa0ab");
const FOV = 32; // degrees, of the free view
const AROUND = 0.6, ABOVE = 1.0, BELOW = 1.05; // metres from the pelvis that a view shows
const FAR = 400;

// Directions from the scene to the viewer; the video's camera stands on the side of +z.
export const VIEWS = {
  "3/4": new Vector3(0.62, 0.3, 0.8), Front: new Vector3(0, 0.12, 1), Side: new Vector3(1, 0.12, 0),
  Top: new Vector3(0, 1, 0.001), Camera: null,
};

export class Stage {
  constructor(canvas, frame, data, video) {
    Object.assign(this, {canvas, frame, data, video});
    this.renderer = new WebGLRenderer({canvas, antialias: true, alpha: true});
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FOV, 1, 0.05, FAR);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.dampingFactor = 0.12;
    this.controls.maxPolarAngle = Math.PI * 0.52;
    this.controls.addEventListener("start", () => this.#leave());
    this.view = "3/4";
    this.selected = 0;
    this.bones = false;
    this.follow = data.people.length === 1;
    this.changed = true;
    this.controls.addEventListener("change", () => { this.changed = true; });
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.onView = () => {};
  }

  async load(bytes) {
    const gltf = await new GLTFLoader().parseAsync(bytes.buffer, "");
    this.mixer = new AnimationMixer(gltf.scene);
    this.action = this.mixer.clipAction(gltf.animations[0]);
    this.action.setLoop(LoopOnce);
    this.action.clampWhenFinished = true;
    this.action.play();
    this.scene.add(gltf.scene);
    const meshes = [];
    gltf.scene.traverse(item => { if (item.isSkinnedMesh) meshes.push(item); });
    this.people = this.data.people.map((person, number) => this.#person(person, meshes[number]));
    this.#lights();
    this.#floor();
    this.#filmCamera();
    const cameras = this.data.camera.matrices.map(matrix => new Vector3(...matrix.slice(12, 15)));
    this.places = [...this.people.flatMap(person => person.sure), ...cameras];
    this.go(0);
    this.resize();
    this.show("3/4", false);
  }

  /** Moves everything to a time in seconds. */
  go(time) {
    this.action.reset();
    this.mixer.setTime(time);
    const middle = new Vector3();
    let shown = 0;
    for (const person of this.people) {
      const {times} = person.data, row = rowAt(times, time), margin = 0.5 / this.data.fps;
      const visible = time >= times[0] - margin && time <= times.at(-1) + margin;
      const guess = person.data.confidence[row] <= this.data.confident;
      person.mesh.visible = visible;
      person.skeleton.visible = visible && this.bones;
      person.material.color.copy(guess ? GUESS : person.color);
      person.material.opacity = this.bones ? 0.4 : guess ? 0.72 : 1;
      person.material.transparent = person.material.opacity < 1;
      person.pelvis.setFromMatrixPosition(person.root.matrixWorld);
      if (visible) { middle.add(person.pelvis); shown++; }
    }
    this.scene.updateMatrixWorld(true);
    for (const person of this.people) person.pelvis.setFromMatrixPosition(person.root.matrixWorld);
    if (shown) this.#aim(middle.divideScalar(shown));
    this.#placeFilmCamera(time);
    this.changed = true;
  }

  /** Draws if something has changed, or in any case. */
  render(always = false) {
    if (this.tween) this.#tweenOn();
    if (this.view === "Camera") this.#asFilmed();
    else {
      if (this.follow) this.#followOn();
      this.controls.update();
    }
    if (!this.changed && !always && !this.video) return;
    this.changed = false;
    this.renderer.render(this.scene, this.camera);
  }

  /** One of `VIEWS`, in a quarter of a second. */
  show(view, smooth = true) {
    this.view = view;
    this.followed = this.#onFloor();
    const filmed = view === "Camera";
    this.controls.enableDamping = !filmed;
    this.filmLines.visible = !filmed;
    this.screen.visible = !filmed || !!this.video;
    this.screen.material.depthTest = !filmed;
    this.screen.material.transparent = !filmed; // opaque things are drawn first, so it is behind the bodies
    this.screen.material.needsUpdate = true;
    this.screen.material.opacity = filmed ? 1 : this.video ? 0.92 : 0.1;
    this.frame.hidden = !filmed;
    this.grid.visible = !(filmed && this.video);
    if (!filmed) {
      const toward = VIEWS[view].clone().normalize(), {target, distance} = this.#fit(toward);
      const position = target.clone().addScaledVector(toward, distance);
      const from = {position: this.camera.position.clone(), target: this.controls.target.clone(), fov: this.camera.fov};
      this.tween = {from, to: {position, target, fov: FOV}, start: performance.now(), span: smooth ? 250 : 0};
    } else this.tween = null;
    this.changed = true;
    this.onView(view);
  }

  setFollow(on) {
    this.follow = on;
    if (this.view !== "Camera") this.show(this.view in VIEWS ? this.view : "3/4");
  }

  /** Chooses the person to follow. */
  select(number) {
    this.selected = number;
    if (this.follow) this.setFollow(true);
  }

  resize() {
    const {clientWidth: width, clientHeight: height} = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.changed = true;
  }

  #leave() {
    this.tween = null;
    if (this.view !== "Camera") return;
    const distance = this.people[this.selected].pelvis.distanceTo(this.camera.position);
    const ahead = new Vector3(0, 0, -1).applyQuaternion(this.camera.quaternion);
    this.controls.target.copy(this.camera.position).addScaledVector(ahead, distance);
    this.show("3/4", false);
    this.tween = null;
    this.view = "free";
    this.onView("free");
  }

  #tweenOn() {
    const {from, to, start, span} = this.tween;
    const part = span ? Math.min((performance.now() - start) / span, 1) : 1, eased = part * part * (3 - 2 * part);
    this.camera.position.lerpVectors(from.position, to.position, eased);
    this.controls.target.lerpVectors(from.target, to.target, eased);
    this.camera.fov = from.fov + (to.fov - from.fov) * eased;
    this.camera.updateProjectionMatrix();
    this.changed = true;
    if (part === 1) this.tween = null;
  }

  /** The point to look at from the direction `toward`, and how far away to stand to see everybody all the time. */
  #fit(toward) {
    const right = new Vector3(0, 1, 0).cross(toward).normalize(), up = toward.clone().cross(right);
    const axes = [right, up, toward], above = axes.map(axis => ABOVE * axis.y), below = axes.map(axis => -BELOW * axis.y);
    const ends = axes.map(() => [Infinity, -Infinity]);
    for (const place of this.#places()) {
      axes.forEach((axis, number) => {
        const at = place.dot(axis);
        ends[number][0] = Math.min(ends[number][0], at + below[number]);
        ends[number][1] = Math.max(ends[number][1], at + above[number]);
      });
    }
    const middle = ends.map(([low, high]) => (low + high) / 2), half = ends.map(([low, high]) => (high - low) / 2 + 0.12);
    const height = Math.tan((FOV / 2) * Math.PI / 180), width = height * this.camera.aspect;
    const target = new Vector3();
    axes.forEach((axis, number) => target.addScaledVector(axis, middle[number]));
    return {target, distance: half[2] + Math.max((half[0] + AROUND) / width, half[1] / height, 1)};
  }

  /** Where pelvises are that the view must show: the selected person's, above its present place, or all of them. */
  #places() {
    if (!this.follow) return this.places;
    const at = this.#onFloor();
    return this.people[this.selected].sure.map(place => at.clone().setY(place.y));
  }

  #onFloor() {
    const {x, z} = this.people[this.selected].pelvis;
    return new Vector3(x, 0, z);
  }

  /** Moves the view as the selected person moves, on the floor. */
  #followOn() {
    const at = this.#onFloor(), step = at.clone().sub(this.followed);
    this.followed = at;
    if (step.lengthSq() < 1e-10) return;
    for (const place of [this.controls.target, this.camera.position, this.tween?.to.target, this.tween?.to.position]) {
      place?.add(step);
    }
    this.changed = true;
  }

  /** The view of the video's camera, as large as fits. */
  #asFilmed() {
    const {yfov, aspect} = this.data.camera, {camera} = this;
    const wide = camera.aspect > aspect;
    const half = Math.tan(yfov / 2) * (wide ? 1 : aspect / camera.aspect);
    const fov = 2 * Math.atan(half) * 180 / Math.PI;
    camera.position.copy(this.film.position);
    camera.quaternion.copy(this.film.quaternion);
    if (camera.fov !== fov) { camera.fov = fov; this.changed = true; }
    camera.updateProjectionMatrix();
    const width = wide ? aspect / camera.aspect : 1, height = wide ? 1 : camera.aspect / aspect;
    Object.assign(this.frame.style, {
      left: `${50 - 50 * width}%`, top: `${50 - 50 * height}%`, width: `${100 * width}%`, height: `${100 * height}%`,
    });
  }

  #person(data, mesh) {
    const color = new Color(data.color);
    const material = new MeshStandardMaterial({color, roughness: 0.72, metalness: 0});
    mesh.material = material;
    mesh.castShadow = mesh.receiveShadow = true;
    mesh.frustumCulled = false; // its bounds are those of the T-pose
    const root = mesh.skeleton.bones[0], skeleton = new SkeletonHelper(root);
    skeleton.setColors?.(new Color("#1d2530"), new Color("#1d2530"));
    this.scene.add(skeleton, ribbon(data, color, this.data.confident));
    const places = data.path.map(place => new Vector3(...place));
    const seen = places.filter((place, row) => data.confidence[row] > this.data.confident);
    const sure = seen.length ? seen : places;
    return {data, sure, mesh, material, color, root, skeleton, pelvis: new Vector3()};
  }

  #lights() {
    this.scene.add(new HemisphereLight("#ffffff", "#b9c2d0", 2.1));
    const sun = this.sun = new DirectionalLight("#fff6e8", 2.1);
    sun.castShadow = true;
    sun.shadow.mapSize.set(2048, 2048);
    sun.shadow.radius = 5;
    sun.shadow.bias = -0.0004;
    sun.shadow.normalBias = 0.02;
    this.scene.add(sun, sun.target);
  }

  /** The light and the floor stay with the people. */
  #aim(middle) {
    const spread = Math.max(...this.people.map(person => person.mesh.visible ? person.pelvis.distanceTo(middle) : 0));
    const {sun} = this, side = spread + 2;
    sun.target.position.set(middle.x, 0.8, middle.z);
    sun.position.set(middle.x - 1.4, 6, middle.z + 2.2);
    Object.assign(sun.shadow.camera, {left: -side, right: side, top: side, bottom: -side, near: 0.5, far: 14});
    sun.shadow.camera.updateProjectionMatrix();
    this.shade.position.set(middle.x, 0.002, middle.z);
    this.grid.material.uniforms.middle.value.set(middle.x, 0, middle.z);
  }

  #floor() {
    const plane = new PlaneGeometry(1, 1).rotateX(-Math.PI / 2);
    this.grid = new Mesh(plane, new ShaderMaterial({
      uniforms: {middle: {value: new Vector3()}, reach: {value: 11}},
      vertexShader: `varying vec3 place;
        void main() { place = position * ${FAR}.0; gl_Position = projectionMatrix * viewMatrix * vec4(place, 1.0); }`,
      fragmentShader: `uniform vec3 middle; uniform float reach; varying vec3 place;
        float lines(float size) {
          vec2 at = place.xz / size, near = abs(fract(at - 0.5) - 0.5) / fwidth(at);
          return (1.0 - min(min(near.x, near.y), 1.0)) * clamp(0.35 / max(fwidth(at).x, fwidth(at).y), 0.0, 1.0);
        }
        void main() {
          float fade = 1.0 - smoothstep(0.25 * reach, reach, distance(place, middle));
          float line = max(lines(1.0) * 0.42, lines(0.5) * 0.13);
          gl_FragColor = vec4(vec3(0.36, 0.43, 0.53), line * fade);
        }`,
      transparent: true, depthWrite: false, side: DoubleSide,
    }));
    this.grid.frustumCulled = false;
    this.grid.renderOrder = -2;
    this.shade = new Mesh(plane, new ShadowMaterial({opacity: 0.22, depthWrite: false}));
    this.shade.scale.setScalar(40);
    this.shade.receiveShadow = true;
    this.shade.renderOrder = -1;
    this.scene.add(this.grid, this.shade);
  }

  /** The video's camera: a pyramid, its path, and what it sees where there is a video. */
  #filmCamera() {
    const {yfov, aspect, matrices} = this.data.camera;
    const place = new Vector3().setFromMatrixPosition(new Matrix4().fromArray(matrices[0]));
    const first = this.data.people[0].path, far = place.distanceTo(new Vector3(...first[0]));
    const depth = Math.min(Math.max(0.16 * far, 0.3), 2), y = depth * Math.tan(yfov / 2), x = y * aspect;
    const corners = [[-x, y], [x, y], [x, -y], [-x, -y]].map(([a, b]) => new Vector3(a, b, -depth));
    const points = [];
    corners.forEach((corner, number) => points.push(new Vector3(), corner, corner, corners[(number + 1) % 4]));
    const top = [[-0.3 * x, 1.12 * y], [0.3 * x, 1.12 * y], [0, 1.4 * y]].map(([a, b]) => new Vector3(a, b, -depth));
    top.forEach((corner, number) => points.push(corner, top[(number + 1) % 3]));
    const ink = new LineBasicMaterial({color: "#2b3644"});
    this.filmLines = new LineSegments(new BufferGeometry().setFromPoints(points), ink);
    const looks = this.video ? {map: new VideoTexture(this.video)} : {color: "#2463c9"};
    if (looks.map) looks.map.colorSpace = SRGBColorSpace;
    const material = new MeshBasicMaterial({...looks, transparent: true, opacity: 0.1, side: DoubleSide, depthWrite: false});
    this.screen = new Mesh(new PlaneGeometry(2 * x, 2 * y).translate(0, 0, -depth), material);
    this.screen.renderOrder = -3;
    this.film = new Group();
    this.film.add(this.filmLines, this.screen);
    this.scene.add(this.film);
    if (matrices.length > 1) {
      const path = matrices.map(matrix => new Vector3().setFromMatrixPosition(new Matrix4().fromArray(matrix)));
      this.scene.add(new Line(new BufferGeometry().setFromPoints(path), ink));
    }
    this.#placeFilmCamera(0);
  }

  #placeFilmCamera(time) {
    const {matrices, times} = this.data.camera, row = matrices.length > 1 ? rowAt(times, time) : 0;
    new Matrix4().fromArray(matrices[row]).decompose(this.film.position, this.film.quaternion, this.film.scale);
  }
}

/** The way of the pelvis on the floor, 4 cm wide; grey where it is a guess. */
function ribbon(data, color, confident) {
  const positions = [], colors = [], indices = [], half = 0.02;
  data.path.forEach((point, row) => {
    const before = data.path[Math.max(row - 1, 0)], after = data.path[Math.min(row + 1, data.path.length - 1)];
    const x = after[0] - before[0], z = after[2] - before[2], length = Math.hypot(x, z) || 1;
    const paint = data.confidence[row] > confident ? color : GUESS;
    for (const side of [-half, half]) {
      positions.push(point[0] + side * z / length, 0.004, point[2] - side * x / length);
      colors.push(paint.r, paint.g, paint.b);
    }
    if (row) indices.push(...[-2, -1, 0, -1, 1, 0].map(step => 2 * row + step));
  });
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new Float32BufferAttribute(positions, 3));
  geometry.setAttribute("color", new Float32BufferAttribute(colors, 3));
  geometry.setIndex(indices);
  const looks = {vertexColors: true, side: DoubleSide, transparent: true, opacity: 0.75, depthWrite: false};
  return new Mesh(geometry, new MeshBasicMaterial(looks));
}
