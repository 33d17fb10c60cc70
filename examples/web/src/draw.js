// People on a canvas: boxes, limbs and joints, left and right in two colours.

const COLORS = { left: "#ff922b", right: "#4dabf7", middle: "#51cf66" };

const side = (name) => (name.startsWith("left") ? "left" : name.startsWith("right") ? "right" : "middle");

/** Draw people ([{box, score, keypoints}]) whose keypoints have at least the confidence `least`. */
export function drawPeople(context, people, { names, skeleton }, least) {
  const { width, height } = context.canvas;
  const line = Math.max(2, Math.round(Math.min(width, height) / 160));
  context.lineCap = "round";
  for (const { box: [x1, y1, x2, y2], score, keypoints } of people) {
    context.lineWidth = line / 2;
    context.strokeStyle = "rgb(255 255 255 / 60%)";
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.font = `${6 * line}px system-ui, sans-serif`;
    context.fillStyle = "white";
    context.fillText(score.toFixed(2), x1 + line, Math.max(y1 - line, 6 * line));
    context.lineWidth = line;
    for (const [a, b] of skeleton) {
      const [from, to] = [keypoints[a], keypoints[b]];
      if (from[3] < least || to[3] < least) continue;
      const sides = [side(names[a]), side(names[b])];
      context.strokeStyle = COLORS[sides[0] === sides[1] ? sides[0] : "middle"];
      context.beginPath();
      context.moveTo(from[0], from[1]);
      context.lineTo(to[0], to[1]);
      context.stroke();
    }
    keypoints.forEach(([x, y, , confidence], i) => {
      if (confidence < least) return;
      context.fillStyle = COLORS[side(names[i])];
      context.beginPath();
      context.arc(x, y, 1.2 * line, 0, 2 * Math.PI);
      context.fill();
    });
  }
}
