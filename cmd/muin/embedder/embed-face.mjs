/**
 * Finds faces in a picture and makes an embedding of each. A program of its own, run by Bun with nothing of Muin around it: other people's
 * code reads a picture that may be from anybody.
 *
 * Reads the picture from standard input, and from its last argument, in JSON, the folder of the packages and how many pixels a picture may
 * have. Prints one line of JSON: `{"faces": [{"score", "width", "height", "embedding"}]}`, embeddings in base64 as they travel, or
 * `{"unreadable": why}`.
 */
const { folder, pixelsMax } = JSON.parse(Bun.argv.at(-1));
const packages = `${folder}/node_modules`;

/** Longest side that the networks are shown; they look at 512 pixels to find a face and at 150 to know it. */
const sideMax = 1600;
/** Below, it is no face. */
const scoreMin = 0.5;

const unreadable = {
  ERR_IMAGE_FORMAT_UNSUPPORTED: "it is of a format that is not read here: convert it to JPEG or PNG",
  ERR_IMAGE_TOO_MANY_PIXELS: `it has more than ${pixelsMax / 1e6} million pixels`,
  ERR_IMAGE_DECODE_FAILED: "it is damaged",
  ERR_IMAGE_UNKNOWN_FORMAT: "it is no picture",
};

const print = console.log.bind(console);
console.log = console.info = console.warn = () => undefined; // The packages greet.

const { picture, why } = await upright(await Bun.stdin.arrayBuffer());
print(JSON.stringify(picture === undefined ? { unreadable: why } : { faces: await facesIn(picture) }));
process.exit(0);

/** The picture turned as EXIF says, and made smaller where it is large; its header tells whether it is unpacked at all. */
async function upright(bytes) {
  try {
    const fitted = new Bun.Image(bytes, { maxPixels: pixelsMax }).resize(sideMax, sideMax, {
      fit: "inside",
      withoutEnlargement: true,
    });
    const png = await fitted.png({ compressionLevel: 1 }).bytes();
    const { PNG } = (await import(`${packages}/pngjs/lib/png.js`)).default;
    return { picture: PNG.sync.read(Buffer.from(png)) };
  } catch (error) {
    return { why: unreadable[error?.code] ?? "it is damaged" };
  }
}

async function facesIn({ width, height, data }) {
  // The bundle is made for browsers: where it sees Node.js, it looks for modules that it was bundled without. A browser's worker it is.
  Object.defineProperty(process, "versions", { value: {} });
  Object.assign(globalThis, {
    WorkerGlobalScope: Object,
    importScripts: () => undefined,
    location: { href: `file://${packages}/` },
  });
  const { env, tf, nets, detectAllFaces, SsdMobilenetv1Options } = await import(
    `${packages}/@vladmandic/face-api/dist/face-api.esm.js`
  );
  // Pictures come as numbers: nothing is ever drawn.
  const elements = { createCanvasElement: Object, createImageElement: Object, createVideoElement: Object };
  const classes = ["Canvas", "CanvasRenderingContext2D", "Image", "ImageData", "Video"];
  env.setEnv({ ...Object.fromEntries(classes.map((name) => [name, Object])), ...elements });
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false); // Its threads are those of a browser.
  tf.setWasmPaths(`file://${packages}/@tensorflow/tfjs-backend-wasm/dist/`, true); // By the one fetch that knows files.
  if (!(await tf.setBackend("wasm"))) throw new Error("there is no WebAssembly for the networks");
  for (const [net, name] of [
    [nets.ssdMobilenetv1, "ssd_mobilenetv1_model"],
    [nets.faceLandmark68Net, "face_landmark_68_model"],
    [nets.faceRecognitionNet, "face_recognition_model"],
  ]) {
    const path = `${packages}/@vladmandic/face-api/model/${name}`;
    const [{ weights }] = await Bun.file(`${path}-weights_manifest.json`).json();
    net.loadFromWeightMap(tf.io.decodeWeights(await Bun.file(`${path}.bin`).arrayBuffer(), weights));
  }
  const picture = tf.tensor3d(onWhite(data), [height, width, 3], "int32");
  const found = await detectAllFaces(picture, new SsdMobilenetv1Options({ minConfidence: scoreMin }))
    .withFaceLandmarks()
    .withFaceDescriptors();
  return found.map(({ detection: { score, box }, descriptor }) => ({
    score,
    width: Math.round(box.width),
    height: Math.round(box.height),
    embedding: Buffer.from(descriptor.buffer, descriptor.byteOffset, descriptor.byteLength).toString("base64"),
  }));
}

/** Three bytes a pixel, of four: what shines through is white. */
function onWhite(data) {
  const pixels = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      pixels[to + channel] = Math.round(data[from + channel] * alpha + 255 * (1 - alpha));
    }
  }
  return pixels;
}
