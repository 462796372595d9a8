// The plane of a manifold: the image under the mouse is shown beside it, and a click decodes the point.
const at = (event) => {
  const outer = event.target.getBoundingClientRect();
  return [(event.clientX - outer.left) / outer.width, (event.clientY - outer.top) / outer.height];
};
element.addEventListener("pointermove", (event) => {
  if (event.target.className !== "plane") return;
  const last = Number(getComputedStyle(event.target).getPropertyValue("--side")) - 1;
  const [column, row] = at(event).map((place) => Math.max(0, Math.min(last, Math.floor(place * (last + 1)))));
  element.querySelector(".decoded").style.backgroundPosition = `${100 * column / last}% ${100 * row / last}%`;
});
element.addEventListener("click", (event) => {
  if (event.target.className === "plane") trigger("select", { point: at(event) });
});
