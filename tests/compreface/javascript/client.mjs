// Call every operation of CompreFace's client for JavaScript, and print what it returned as JSON.
// Its only knowledge of Vultus is the port, which ends in `/compreface`, and the key.
import fs from 'node:fs'
import { CompreFace } from '@exadel/compreface-js-sdk'

const [domain, port, key] = process.argv.slice(2)
console.log = () => {} // the client prints keys

const client = new CompreFace(domain, port)
const recognition = client.initFaceRecognitionService(key)
const detection = client.initFaceDetectionService(key)
const verification = client.initFaceVerificationService(key)
const options = { limit: 0, det_prob_threshold: 0.1 }
// Each call gets its own: the client appends to its URL.
const faces = () => recognition.getFaceCollection()
const subjects = () => recognition.getSubjects()
const failure = (error) => ({ status: error.response.status, ...error.response.data })

const answers = {}
answers.added = await faces().add('./ada.jpg', 'Ada Acker')
answers.addedBytes = await faces().add(fs.readFileSync('./bob.jpg').toString('base64'), 'bob')
answers.refused = await faces().add('./nobody.jpg', 'eve').catch(failure)
answers.created = await subjects().add('cid')
answers.subjects = await subjects().list()
answers.faces = await faces().list()
answers.recognized = await recognition.recognize('./again.jpg', { ...options, prediction_count: 1, status: true })
answers.predicted = await recognition.recognize('./both.jpg', { limit: 2, prediction_count: 2, face_plugins: 'landmarks,age' })
answers.detected = await detection.detect('./both.jpg', { ...options, status: true })
answers.verified = await verification.verify('./ada.jpg', './again.jpg', { ...options, status: true })
answers.renamed = await subjects().rename('cid', 'dan')
answers.compared = await faces().verify('./again.jpg', answers.added.image_id, options)
answers.deletedMany = await faces().delete_multiple_images([answers.addedBytes.image_id])
answers.deleted = await faces().delete(answers.added.image_id)
answers.deletedAgain = await faces().delete(answers.added.image_id).catch(failure)
answers.emptied = await faces().delete_all_subject('bob')
answers.deletedSubject = await subjects().delete('dan')
answers.deletedSubjects = await subjects().deleteAll()
answers.left = await subjects().list()
process.stdout.write(JSON.stringify(answers))
