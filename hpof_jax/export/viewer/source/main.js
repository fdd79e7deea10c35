// Puts the page together: data from the page's own script elements, scene, curves, buttons and keys.

import { Player } from "./player.js";
import { rowAt } from "./rows.js";
import { Stage, VIEWS } from "./stage.js";
import { Timeline } from "./timeline.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
const ICONS = {
  Play: '<svg viewBox="0 0 16 16"><path d="M4 2.2v11.6L14 8z"/></svg>',
  Pause: '<svg viewBox="0 0 16 16"><path d="M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z"/></svg>',
};
const $ = id => document.getElementById(id);

function bytes(id) {
  const text = atob($(id).textContent.trim()), result = new Uint8Array(text.length);
  for (let number = 0; number < text.length; number++) result[number] = text.charCodeAt(number);
  return result;
}

function loadVideo(data) {
  if (!data.video) return null;
  const video = $("picture");
  video.src = URL.createObjectURL(new Blob([bytes("video")], {type: "video/mp4"}));
  $("beside").hidden = false;
  return video;
}

/** Buttons of which one is pressed; returns a function that presses another. */
function oneOf(group, names, act) {
  const buttons = names.map((name, number) => {
    const button = document.createElement("button");
    button.textContent = name;
    button.addEventListener("click", () => act(name, number));
    return button;
  });
  group.append(...buttons);
  return pressed => buttons.forEach((button, number) => button.setAttribute("aria-pressed", number === pressed));
}

function toggle(name, title, on, act) {
  const button = Object.assign(document.createElement("button"), {textContent: name, title});
  const set = value => { on = value; button.setAttribute("aria-pressed", on); act(on); };
  button.setAttribute("aria-pressed", on);
  button.addEventListener("click", () => set(!on));
  $("switches").append(button);
}

function facts(data) {
  const frames = data.people.reduce((sum, person) => sum + person.times.length, 0);
  const trusted = data.people.reduce((sum, p) => sum + p.confidence.filter(value => value > data.confident).length, 0);
  const parts = [`${data.duration.toFixed(1)} s`, `${+data.fps.toFixed(2)} frames/s`];
  if (data.people.length > 1) parts.push(`${data.people.length} people`);
  parts.push(`trusted in ${Math.round(100 * trusted / frames)} % of the frames`);
  if (data.step > 1) parts.push(`every ${data.step}th frame`);
  return parts.join(" \u00b7 ");
}

async function start() {
  const data = JSON.parse($("data").textContent);
  $("title").textContent = data.title;
  $("facts").textContent = facts(data);
  document.querySelector("#guess b").textContent = data.confident;
  const video = loadVideo(data), stage = new Stage($("scene"), $("frame"), data, video);
  const player = new Player(data.duration, video, data.video?.start ?? 0);
  const timeline = new Timeline(data, {lanes: $("lanes"), choice: $("choice").lastElementChild}, time => go(time));
  await stage.load(bytes("glb"));

  let drawn = -1, playing = null;
  const show = time => {
    stage.go(time);
    timeline.go(time);
    const person = data.people[stage.selected], row = rowAt(person.times, time);
    $("clock").innerHTML = `${time.toFixed(2)} / ${data.duration.toFixed(2)} s <small>frame ${row * data.step + 1}</small>`;
    drawn = time;
  };
  const go = time => { player.seek(time); show(player.time); };
  const loop = now => {
    const time = player.tick(now);
    if (time !== drawn) show(time);
    if (playing !== player.playing) {
      playing = player.playing;
      const what = playing ? "Pause" : "Play";
      $("play").innerHTML = ICONS[what];
      $("play").setAttribute("aria-label", what);
    }
    stage.render();
    requestAnimationFrame(loop);
  };

  const names = Object.keys(VIEWS), pressView = oneOf($("views"), names, name => stage.show(name));
  stage.onView = view => pressView(names.indexOf(view));
  pressView(0);
  if (data.people.length > 1) {
    const press = oneOf($("people"), data.people.map(person => person.name), (name, number) => select(number));
    [...$("people").children].forEach((button, n) => button.style.setProperty("--color", data.people[n].color));
    const select = number => { stage.select(number); timeline.select(number); press(number); show(player.time); };
    press(0);
    $("title").hidden = true; // the buttons have the names
  }
  toggle("Follow", "Keep the person in the middle", stage.follow, on => stage.setFollow(on));
  toggle("Skeleton", "Show the joints through the body", false, on => { stage.bones = on; show(player.time); });

  $("play").addEventListener("click", () => player.toggle());
  $("speed").append(...SPEEDS.map(speed => new Option(`${speed}\u00d7`, speed, speed === 1, speed === 1)));
  $("speed").addEventListener("change", () => player.setSpeed(+$("speed").value));
  addEventListener("keydown", event => {
    if (event.target.matches("select, input[type=checkbox]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const frame = 1 / data.fps, keys = {
      " ": () => player.toggle(), ArrowLeft: () => go(player.time - frame), ArrowRight: () => go(player.time + frame),
      Home: () => go(0), End: () => go(data.duration),
    };
    if (!(event.key in keys) || (event.key === " " && event.target.matches("button, summary"))) return;
    event.preventDefault();
    if (event.key !== " ") player.pause();
    keys[event.key]();
  });

  // #t=2.5&view=Camera&paused: where to start.
  const wish = new URLSearchParams(location.hash.slice(1));
  show(0);
  if (wish.get("view") in VIEWS) stage.show(wish.get("view"), false);
  if (wish.has("t")) go(+wish.get("t") || 0);
  if (!wish.has("paused") && !matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
  stage.render(true);
  window.viewer = {data, stage, player, timeline, go, loaded: performance.now()}; // for scripts
  requestAnimationFrame(loop);
}

start().catch(error => {
  console.error(error);
  $("message").hidden = false;
  $("message").textContent = /webgl/i.test(error.message)
    ? "This browser draws no 3D here: WebGL is switched off or missing." : `The page cannot be shown: ${error.message}`;
});
