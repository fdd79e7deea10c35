// The curves under the scene: confidence, joint angles and the time, one lane each.

import { rowAt } from "./rows.js";

const PAD = 8; // pixels left and right of a curve: half the slider's thumb
const INK = {line: "#e4e8ee", soft: "#8a95a5", curve: "#4a5666", guess: "#e39a2d"};
const DEFAULT = ["hip flexion", "knee angle", "elbow flex"];

export class Timeline {
  /** `seek(time)` is called when somebody drags. */
  constructor(data, elements, seek) {
    Object.assign(this, {data, ...elements, seek, selected: 0});
    const names = data.people[0].angles.map(angle => angle.name), preferred = DEFAULT.filter(name => names.includes(name));
    this.shown = new Set(preferred.length ? preferred : names.slice(0, 2));
    this.#choices(names);
    this.#lanes();
    new ResizeObserver(() => this.draw()).observe(this.lanes);
  }

  select(number) {
    this.selected = number;
    this.draw();
  }

  /** Moves the cursor and the values beside the curves. */
  go(time) {
    this.time = time;
    const person = this.data.people[this.selected], row = rowAt(person.times, time);
    const {clientWidth: width} = this.parts[0].plot;
    const left = PAD + (width - 2 * PAD) * (this.data.duration ? time / this.data.duration : 0);
    for (const part of this.parts) {
      part.head.style.transform = `translateX(${left}px)`;
      part.tell(person, row);
    }
    this.scrub.value = time;
    this.scrub.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
  }

  draw() {
    const person = this.data.people[this.selected];
    for (const part of this.parts) {
      const {plot, canvas} = part, {clientWidth: width, clientHeight: height} = plot, ratio = devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const x = time => PAD + (width - 2 * PAD) * (this.data.duration ? time / this.data.duration : 0);
      this.#guesses(pen, person, x, height, part.kind === "time" ? 16 : height);
      part.draw(pen, person, x, width, height);
    }
    this.go(this.time ?? 0);
  }

  #choices(names) {
    this.choice.replaceChildren(...names.map(name => {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = this.shown.has(name);
      box.addEventListener("change", () => {
        box.checked ? this.shown.add(name) : this.shown.delete(name);
        this.#lanes();
      });
      label.append(box, ` ${capital(name)}`);
      return label;
    }));
  }

  #lanes() {
    this.parts = [];
    this.lanes.replaceChildren();
    this.#lane("flat", "Confidence", "", drawConfidence(this.data.confident), (person, row) => {
      const value = person.confidence[row], low = value <= this.data.confident;
      return [[low ? "low" : "", value.toFixed(2) + (low ? " a guess" : "")]];
    });
    for (const name of this.data.people[0].angles.map(angle => angle.name).filter(name => this.shown.has(name))) {
      const find = person => person.angles.find(angle => angle.name === name);
      const range = nice(this.data.people.flatMap(person => curves(find(person)).flatMap(curve => [...curve.values])));
      this.#lane("angle", capital(name), `${range[0]}° to ${range[1]}°`, drawAngle(find, range), (person, row) =>
        curves(find(person)).map(curve => [curve.side, `${Math.round(curve.values[row])}°`]));
    }
    const part = this.#lane("time", "Time", "seconds", drawTime(this.data.duration), () => []);
    this.scrub = Object.assign(document.createElement("input"), {
      type: "range", id: "scrub", min: 0, max: this.data.duration, step: "any", value: this.time ?? 0,
    });
    this.scrub.setAttribute("aria-label", "Time");
    this.scrub.addEventListener("input", () => this.seek(+this.scrub.value));
    part.plot.append(this.scrub);
    part.head.hidden = true;
    this.draw();
  }

  #lane(kind, name, more, draw, values) {
    const make = (tag, className, ...inside) => {
      const element = Object.assign(document.createElement(tag), {className});
      element.append(...inside);
      return element;
    };
    const label = make("div", "label", name), canvas = make("canvas", ""), head = make("div", "head");
    if (more) label.append(make("small", "", more));
    const plot = make("div", "plot", canvas, head), value = make("div", "value");
    this.lanes.append(make("div", `lane ${kind}`, label, plot, value));
    let told;
    const tell = (person, row) => {
      const texts = values(person, row), key = texts.join();
      if (key !== told) value.replaceChildren(...texts.map(([side, text]) => make("span", side, text)));
      told = key;
    };
    const part = {kind, plot, canvas, head, draw, tell};
    if (kind !== "time") this.#drag(plot);
    this.parts.push(part);
    return part;
  }

  #drag(plot) {
    const to = event => {
      const {left, width} = plot.getBoundingClientRect();
      this.seek((event.clientX - left - PAD) / (width - 2 * PAD) * this.data.duration);
    };
    plot.addEventListener("pointerdown", event => { plot.setPointerCapture(event.pointerId); to(event); });
    plot.addEventListener("pointermove", event => { if (plot.hasPointerCapture(event.pointerId)) to(event); });
  }

  /** Hatched where the person's confidence is too low. */
  #guesses(pen, person, x, height, deep) {
    for (const [from, to] of person.guesses) {
      const left = x(from), right = Math.max(x(to), left + 2);
      pen.save();
      pen.beginPath();
      pen.rect(left, 0, right - left, deep);
      pen.clip();
      pen.fillStyle = "#f6dfba";
      pen.fill();
      pen.strokeStyle = "#e39a2d88";
      pen.lineWidth = 1.5;
      for (let at = left - deep; at < right; at += 6) {
        pen.beginPath();
        pen.moveTo(at, deep);
        pen.lineTo(at + deep, 0);
        pen.stroke();
      }
      pen.restore();
    }
  }
}

const capital = text => text[0].toUpperCase() + text.slice(1);

/** An angle's curves: of the left and the right side, or one. */
function curves(angle) {
  return angle ? ["left", "right", "middle"].filter(side => angle[side]).map(side => ({side, values: angle[side]})) : [];
}

/** Whole tens around the values. */
function nice(values) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return [Math.floor(low / 10) * 10, Math.max(Math.ceil(high / 10) * 10, Math.floor(low / 10) * 10 + 10)];
}

function drawConfidence(confident) {
  return (pen, person, x, width, height) => {
    const y = value => height - 3 - value * (height - 6);
    pen.setLineDash([3, 3]);
    stroke(pen, INK.soft, 1, [[PAD, y(confident)], [width - PAD, y(confident)]]);
    pen.setLineDash([]);
    const points = person.times.map((time, row) => [x(time), y(person.confidence[row])]);
    pen.beginPath();
    pen.moveTo(points[0][0], y(0));
    points.forEach(point => pen.lineTo(...point));
    pen.lineTo(points.at(-1)[0], y(0));
    pen.fillStyle = "#4a566618";
    pen.fill();
    stroke(pen, INK.curve, 1.5, points);
  };
}

function drawAngle(find, [low, high]) {
  return (pen, person, x, width, height) => {
    const y = value => height - 4 - (value - low) / (high - low) * (height - 8);
    if (low < 0 && high > 0) stroke(pen, INK.line, 1, [[PAD, y(0)], [width - PAD, y(0)]]);
    const style = getComputedStyle(document.documentElement);
    for (const {side, values} of curves(find(person))) {
      const color = side === "middle" ? INK.curve : style.getPropertyValue(`--${side}`);
      stroke(pen, color, 1.6, person.times.map((time, row) => [x(time), y(values[row])]));
    }
  };
}

function drawTime(duration) {
  return (pen, person, x, width) => {
    pen.fillStyle = INK.line;
    pen.beginPath();
    pen.roundRect(PAD, 6, width - 2 * PAD, 4, 2);
    pen.fill();
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200];
    const step = steps.find(size => (width - 2 * PAD) * size / (duration || 1) >= 60) ?? 3600;
    pen.fillStyle = INK.soft;
    pen.font = "11px system-ui, sans-serif";
    for (let number = 0; number * step <= duration + 1e-6; number++) {
      const at = x(number * step);
      pen.fillRect(at - 0.5, 17, 1, 4);
      const text = step < 1 ? (number * step).toFixed(1) : `${number * step}`;
      pen.textAlign = number ? "center" : "left";
      pen.fillText(text, number ? at : at - 3, 32);
    }
  };
}

function stroke(pen, color, width, points) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.beginPath();
  points.forEach((point, number) => number ? pen.lineTo(...point) : pen.moveTo(...point));
  pen.stroke();
}
