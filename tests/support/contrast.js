// Every text that is shown, with each colour that may lie behind it: texts with less contrast than 4.5:1.
() => {
  const LEAST = 4.5;
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Whatever notation a colour is in, a canvas knows its red, green, blue and alpha.
  const parse = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = ([red, green, blue, alpha], below) =>
    [red, green, blue].map((part, at) => part * alpha + below[at] * (1 - alpha)).concat(1);
  const luminance = (colour) => {
    const linear = colour.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  // The colours of an element itself: its background, those of a gradient, those of its bar.
  const ownColours = (element) => {
    const styles = [getComputedStyle(element)];
    const bar = getComputedStyle(element, "::before");
    // Dots and lines beside a text are not behind it.
    if (bar.content !== "none" && bar.position === "absolute" && parseFloat(bar.height) > 8) styles.push(bar);
    const colours = styles.flatMap((style) =>
      [style.backgroundColor, ...(style.backgroundImage.match(/(?:rgba?|color|oklab|oklch)\([^)]*\)/g) ?? [])]);
    return colours.map(parse).filter((colour) => colour[3] > 0);
  };
  // All colours that may lie behind an element's text.
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(ownColours(at));
    let possible = [parse("white")];
    for (const colours of layers) {
      if (!colours.length) continue;
      const next = colours.flatMap((colour) => possible.map((below) => over(colour, below)));
      // An opaque background hides what is below; a bar or a pattern may leave parts of it.
      possible = colours.some((colour) => colour[3] === 1) && colours.length === 1 ? next : [...next, ...possible];
    }
    return possible;
  };
  const opacity = (element) => {
    let product = 1;
    for (let at = element; at; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
    return product;
  };
  const failures = [];
  const check = (what, element, colour, papers) => {
    const ink = parse(colour);
    ink[3] *= opacity(element);
    const worst = Math.min(...papers.map((paper) => contrast(over(ink, paper), paper)));
    if (worst < LEAST) failures.push(`${what}: ${worst.toFixed(2)}`);
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let checked = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".unseen, #mirror, noscript, option")) continue;
    check(node.data.trim().slice(0, 40), element, getComputedStyle(element).color, behind(element));
    checked += 1;
  }
  for (const box of document.querySelectorAll("textarea, input[type=text], input[type=password], select")) {
    if (!box.checkVisibility() || box.closest(".unseen")) continue;
    const papers = [...behind(box), ...[...document.querySelectorAll("#mirror mark")].flatMap(behind)];
    check(`text of #${box.id}`, box, getComputedStyle(box).color, papers);
    check(`placeholder of #${box.id}`, box, getComputedStyle(box, "::placeholder").color, behind(box));
    checked += 1;
  }
  return { failures, checked };
}
