/** @file Where pictures come in: dropped, chosen, or pasted anywhere on the page. */
import { useEffect, useState } from "preact/hooks";
import {
  addPictures,
  type Picture as PictureEntry,
  pictures,
  problems,
  removePicture,
} from "../state/submission.js";
import { Icon } from "./icon.js";
import { Picture } from "./media.js";
import { PictureRow } from "./picture-row.js";

const isPicture = (file: File) => file.type.startsWith("image/") || file.type === "";

export function PictureDrop() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])].filter(isPicture);
      if (files.length === 0) return;
      event.preventDefault();
      void addPictures(files);
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, []);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void addPictures([...(event.dataTransfer?.files ?? [])]);
  };
  const hasPictures = pictures.value.length > 0;
  return (
    <div class="pictures">
      <label
        class={`drop ${isOver ? "drop-over" : ""} ${hasPictures ? "drop-small" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <Icon name="image" />
        <span>
          <b>{hasPictures ? "Add another picture" : "Drop a picture"}</b>
          <span class="muted">{hasPictures ? " or paste it" : ", choose a file, or paste"}</span>
        </span>
        <input
          type="file"
          name="images"
          class="visually-hidden"
          accept="image/*"
          multiple
          onChange={(event) => {
            void addPictures([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
      </label>
      <PictureList />
      {problems.value["images"] && <span class="problem">{problems.value["images"]}</span>}
    </div>
  );
}

function PictureList() {
  const [first, ...others] = pictures.value;
  if (!first) return null;
  // One that cannot be used has its name beside what is wrong, and no place kept for it.
  const isPlain = first.problem === "" && Object.keys(first.own).length === 0;
  const isAlone = others.length === 0 && isPlain;
  if (isAlone) return <LonePicture picture={first} />;
  return (
    <ul class="picture-rows">
      {pictures.value.map((picture) => (
        <PictureRow key={picture.id} picture={picture} />
      ))}
    </ul>
  );
}

/** Large, and without values of its own: those of the form are its. */
function LonePicture({ picture }: { readonly picture: PictureEntry }) {
  const { id, name, url, ref } = picture;
  return (
    <div class="picture-lone">
      <Picture path={url} alt={name} />
      {ref === null && <span class="picture-wait">uploading</span>}
      <button
        type="button"
        class="icon-button picture-remove"
        aria-label={`Remove ${name}`}
        onClick={() => removePicture(id)}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}
