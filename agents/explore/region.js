// A region on a picture: dragging moves it, dragging its corner resizes it, a press beside it moves it there.
const SIDES = ["left", "top", "width", "height"];
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
element.addEventListener("pointerdown", (event) => {
  const region = element.querySelector(".region");
  if (!region) return;
  event.preventDefault();
  const outer = region.parentElement.getBoundingClientRect();
  const at = (each) => [(each.clientX - outer.left) / outer.width, (each.clientY - outer.top) / outer.height];
  let [x, y, w, h] = SIDES.map((side) => parseFloat(region.style[side]) / 100), box;
  const [startX, startY] = at(event), resizes = event.target.className === "corner";
  if (!resizes && event.target !== region) [x, y] = [startX - w / 2, startY - h / 2];
  const drag = (each) => {
    const [nowX, nowY] = at(each), across = nowX - startX, down = nowY - startY;
    box = resizes
      ? [x, y, clamp(w + across, 0.01, 1 - x), clamp(h + down, 0.01, 1 - y)]
      : [clamp(x + across, 0, 1 - w), clamp(y + down, 0, 1 - h), w, h];
    SIDES.forEach((side, i) => { region.style[side] = `${100 * box[i]}%`; });
  };
  drag(event);
  element.setPointerCapture(event.pointerId);
  element.onpointermove = drag;
  element.onpointerup = () => {
    element.onpointermove = element.onpointerup = null;
    trigger("release", { region: box });
  };
});
