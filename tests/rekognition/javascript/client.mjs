// Does what a program with the AWS SDK for JavaScript does, and prints the answers as one JSON document.
//
//   node client.mjs PHOTOS      (a folder with known.jpg, other.jpg, again.jpg, stranger.jpg and group.jpg)
//
// The address is in VULTUS_ENDPOINT; the region and the keys are where every AWS SDK looks for them.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import {
  CompareFacesCommand,
  CreateCollectionCommand,
  DeleteCollectionCommand,
  DeleteFacesCommand,
  IndexFacesCommand,
  RekognitionClient,
  RekognitionServiceException,
  ResourceNotFoundException,
  SearchFacesByImageCommand,
} from "@aws-sdk/client-rekognition";

const [photos] = process.argv.slice(2);
const endpoint = process.env.VULTUS_ENDPOINT;
const CollectionId = "people";

const client = new RekognitionClient({ endpoint });

const image = async (name) => ({ Bytes: await readFile(join(photos, `${name}.jpg`)) });

const send = async (command, from = client) => {
  const { $metadata, ...answer } = await from.send(command);
  return answer;
};

const index = async (name) =>
  send(new IndexFacesCommand({ CollectionId, ExternalImageId: name, Image: await image(name) }));

const search = async (name, from = client) =>
  send(new SearchFacesByImageCommand({ CollectionId, Image: await image(name) }), from);

const failure = async (answer) => {
  try {
    await answer;
  } catch (error) {
    return {
      name: error.name,
      message: error.message,
      fault: error.$fault,
      status: error.$metadata?.httpStatusCode,
      attempts: error.$metadata?.attempts,
      ofTheService: error instanceof RekognitionServiceException,
      isNotFound: error instanceof ResourceNotFoundException,
    };
  }
  return null;
};

const secretless = new RekognitionClient({
  endpoint,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "not the secret of this key" },
});

const results = {};
try {
  results.created = await send(new CreateCollectionCommand({ CollectionId }));
  results.known = await index("known");
  results.other = await index("other");
  results.found = await search("again");
  results.strange = await search("stranger");
  results.compared = await send(
    new CompareFacesCommand({ SourceImage: await image("again"), TargetImage: await image("group") }),
  );
  results.unsigned = await failure(search("again", secretless));
  const FaceIds = [results.known.FaceRecords[0].Face.FaceId];
  results.deleted = await send(new DeleteFacesCommand({ CollectionId, FaceIds }));
  results.after = await search("again");
  results.dropped = await send(new DeleteCollectionCommand({ CollectionId }));
  results.missing = await failure(search("again"));
} finally {
  client.destroy();
  secretless.destroy();
}
console.log(JSON.stringify(results));
