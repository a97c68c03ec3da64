/** @file Whether a file is a picture that nodes can decode; told before it is sent. */

/** As nodes have it: 4096 x 4096 pixels, whatever the sides. */
const PIXELS_MAX = 16_777_216;
const HEAD_BYTES = 12;

/**
 * What is wrong with a file, or "".
 *
 * @param url where the browser finds the file
 */
export async function problemOfFile(file: Blob, url: string): Promise<string> {
  if (file.size === 0) return "The file is empty.";
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer();
  const format = formatOf(String.fromCharCode(...new Uint8Array(head)));
  if (format === null) return "This is neither png, jpeg nor webp. Convert it to one of them.";
  // Its header alone is read first: the pixels of a vast picture may be more than there is memory for.
  const picture = new Image();
  const header = new Promise((resolve, reject) => {
    picture.onload = resolve;
    picture.onerror = reject;
  });
  picture.src = url;
  try {
    await header;
    const { naturalWidth: width, naturalHeight: height } = picture;
    if (width * height > PIXELS_MAX) {
      return `${width} × ${height} pixels are more than 4096 × 4096. Make it smaller.`;
    }
    await picture.decode();
    return "";
  } catch {
    return `This ${format} file is damaged.`;
  }
}

function formatOf(head: string): "png" | "jpeg" | "webp" | null {
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("RIFF") && head.slice(8) === "WEBP") return "webp";
  return null;
}
