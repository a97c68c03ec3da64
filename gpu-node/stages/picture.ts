/**
 * @file Pictures from users as 8-bit RGB, with the pixels that diffusers' `load_image` gives.
 *
 * That is: turned as EXIF says, alpha dropped and not blended, palettes and greys expanded, colour
 * profiles ignored; of an animation the first frame.
 *
 * @source diffusers utils/loading_utils.py, load_image; Pillow's convert("RGB")
 */
import sharp from "sharp";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import {
  NO_PICTURE,
  PICTURE_PIXELS_MAX,
  pictureFormatOf,
  pictureSizeProblem,
} from "../../shared/core/picture-format.js";
import { clipPixelsSizeProblem } from "../diffusion/clip-pixels.js";
import { type RgbPicture, rgbPicture } from "../diffusion/rgb-picture.js";

// Only these three decoders ever see bytes of users, whatever else libvips was built with.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({
  operation: ["VipsForeignLoadPng", "VipsForeignLoadJpeg", "VipsForeignLoadWebp"],
});

/**
 * Decodes a png, jpeg or webp file.
 *
 * @param file the file's bytes
 * @param name how messages call it
 * @throws FarmError "invalid-argument" another format, damaged, too large or too
 *   small, CMYK, or 16-bit grey
 */
export async function decodePicture(file: Uint8Array, name = "picture"): Promise<RgbPicture> {
  if (file.length === 0) throw refused(name, "is empty");
  const format = pictureFormatOf(file);
  if (format === null) throw refused(name, NO_PICTURE);
  await refuseUnfit(file, name, format);

  const decoded = await sharp(file, {
    failOn: "error",
    limitInputPixels: PICTURE_PIXELS_MAX,
    ignoreIcc: true,
  })
    .autoOrient()
    .removeAlpha()
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw damaged(name, format, error);
    });
  const { width, height, channels } = decoded.info;
  if (channels !== 3) throw refused(name, `has ${channels} colour channels instead of 3`);
  return rgbPicture(width, height, decoded.data);
}

/** What the header alone tells, before any pixel is decoded. */
async function refuseUnfit(file: Uint8Array, name: string, format: string): Promise<void> {
  // The limit is checked below, by us, for a message with numbers.
  const header = await sharp(file, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw damaged(name, format, error);
    });
  const { width, height, space, depth, channels } = header;
  const tooLarge = pictureSizeProblem(width, height);
  if (tooLarge !== null) throw refused(name, tooLarge);
  const tooSmall = clipPixelsSizeProblem(width, height);
  if (tooSmall !== null) throw refused(name, `is too small: ${tooSmall}`);
  if (space === "cmyk") {
    throw refused(name, "is CMYK, whose colours depend on a profile; convert it to RGB");
  }
  if (depth === "ushort" && channels === 1) {
    // Pillow clips every 16-bit grey above 255 to white: an image nobody meant.
    throw refused(name, "is 16-bit grey, which has no agreed 8-bit form; convert it to 8 bits");
  }
}

function damaged(name: string, format: string, error: unknown): FarmError {
  const reason = asFarmError(error).detail.replace(/\s+/g, " ").trim();
  return refused(name, `is a damaged or incomplete ${format} file (${reason})`, error);
}

function refused(name: string, description: string, cause?: unknown): FarmError {
  return new FarmError("invalid-argument", `${name} ${description}`, {
    violations: [{ field: name, description }],
    ...(cause === undefined ? {} : { cause }),
  });
}
