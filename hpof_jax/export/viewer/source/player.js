// The time of the motion: plays, pauses, loops, and keeps the video in step.

const LATE = 0.08; // seconds by which the video may differ before it is sent to the right time

export class Player {
  /** `video`: an element or null; it shows the motion's time `start` at its own time 0. */
  constructor(duration, video, start) {
    Object.assign(this, {duration, video, start, time: 0, speed: 1, playing: false});
    this.last = performance.now();
  }

  play() {
    if (this.time >= this.duration) this.seek(0);
    this.playing = true;
    this.#follow();
  }

  pause() {
    this.playing = false;
    this.#follow();
  }

  toggle() {
    this.playing ? this.pause() : this.play();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.duration);
    this.#follow();
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.video) this.video.playbackRate = speed;
  }

  /** Call at every picture; `now` is in milliseconds. Returns the time of the motion in seconds. */
  tick(now) {
    const step = Math.min((now - this.last) / 1000, 0.25) * this.speed;
    this.last = now;
    if (!this.playing) return this.time;
    if (this.#videoLeads()) this.time = Math.min(this.video.currentTime + this.start, this.duration);
    else if (!this.video?.seeking) this.time += step;
    if (this.time >= this.duration || this.video?.ended) {
      this.time = 0;
      this.#follow();
    }
    return this.time;
  }

  #videoLeads() {
    const video = this.video;
    return video && !video.paused && !video.seeking && !video.ended && video.readyState > 2;
  }

  #follow() {
    const video = this.video;
    if (!video) return;
    // A little later than the frame begins: players round, and would show the frame before.
    const time = Math.max(this.time - this.start + 0.004, 0);
    if (!this.playing || Math.abs(video.currentTime - time) > LATE) video.currentTime = time;
    if (this.playing) video.play().catch(() => {}); // without the video, time runs by the clock
    else video.pause();
  }
}
