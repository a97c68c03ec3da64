/** @file Pictures and clips of the farm: an element cannot send the key, so then fetch does. */
import { useEffect, useState } from "preact/hooks";
import { request } from "../api/client.js";
import { apiKey } from "../state/session.js";

/** Where a path of the farm can be shown from; "" until it is there. */
export function useMedia(path: string): string {
  const key = apiKey.value;
  const isDirect = key === "" || path.startsWith("blob:");
  const [fetched, setFetched] = useState("");
  useEffect(() => {
    if (isDirect || path === "") return undefined;
    const stop = new AbortController();
    let url = "";
    request(path, { signal: stop.signal })
      .then((response) => response.blob())
      .then((blob) => {
        url = URL.createObjectURL(blob);
        setFetched(url);
      })
      .catch(() => setFetched("")); // the place stays empty
    return () => {
      stop.abort();
      URL.revokeObjectURL(url);
    };
  }, [path, isDirect]);
  return isDirect ? path : fetched;
}

/** A picture that was sent, or an empty place while there is none. */
export function Picture({ path, alt }: { readonly path: string; readonly alt: string }) {
  const url = useMedia(path);
  const [isBroken, setBroken] = useState(false);
  if (url === "" || isBroken) return <span class="picture picture-none" aria-hidden="true" />;
  return (
    <img
      class="picture"
      src={url}
      alt={alt}
      loading="lazy"
      decoding="async"
      onError={() => setBroken(true)}
    />
  );
}

/** Saves a file of the farm under its name. */
export async function download(path: string, fileName: string): Promise<void> {
  const response = await request(path);
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
