// What an end2end artifact says of itself: the metadata of an ONNX file, read from its protobuf.
// ModelProto has metadata_props as field 14; an entry has key as field 1 and value as field 2.

const METADATA = 14;
const LENGTH_DELIMITED = 2;

function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (at >= bytes.length) throw new Error("it ends in the middle of a field");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      if (factor > 2 ** 49) throw new Error("it holds a number that is none");
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (type === 0) varint();
    else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else if (type === LENGTH_DELIMITED) {
      const size = varint();
      if (at + size > bytes.length) throw new Error("it ends in the middle of a field");
      yield [number, bytes.subarray(at, at + size)];
      at += size;
    } else throw new Error(`it holds a field of the unknown type ${type}`);
  }
}

/** The metadata of an ONNX file (Uint8Array) as a Map; throws where it is no whole ONNX file. */
export function readMetadata(bytes) {
  const text = new TextDecoder();
  const found = new Map();
  for (const [number, content] of fields(bytes)) {
    if (number !== METADATA) continue;
    const entry = new Map(fields(content));
    found.set(text.decode(entry.get(1)), text.decode(entry.get(2)));
  }
  return found;
}

/** Keypoint names and skeleton of a pipeline artifact; throws with what to do where it is another file. */
export function describe(bytes) {
  let metadata;
  try {
    metadata = readMetadata(bytes);
  } catch (error) {
    throw new Error(`The model is damaged: ${error.message}. Export or download it again.`);
  }
  const kind = metadata.get("rtmpose_end2end");
  if (kind !== "pipeline") {
    const given = kind ? `an end2end ${kind} artifact` : "no end2end artifact";
    throw new Error(`The model is ${given}. Make one with: rtmpose-export --end2end pipeline`);
  }
  const read = (key) => {
    try {
      return JSON.parse(metadata.get(key));
    } catch {
      throw new Error(`The model is damaged: its metadata has no ${key} that can be read. Export it again.`);
    }
  };
  const [names, skeleton] = [read("keypoint_names"), read("skeleton")];
  if (!skeleton.flat().every((place) => place in names))
    throw new Error("The model is damaged: its skeleton has keypoints that have no names. Export it again.");
  return { names, skeleton, pose: read("pose_card"), detector: read("detector_card") };
}
