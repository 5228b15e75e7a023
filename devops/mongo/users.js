// Run once by the mongo image, when its volume is empty: makes a user that writes runs and one that
// only reads them, for Omniboard.
const name = process.env.MONGO_DB || 'nn_clustering';
const admin = db.getSiblingDB('admin');

for (const [user, password, role] of [
  ['nn_clustering', process.env.MONGO_APP_PASSWORD, 'readWrite'],
  ['nn_clustering_reader', process.env.MONGO_READER_PASSWORD, 'read'],
]) {
  if (!password) throw new Error(`no password for ${user}: see docker-compose.yml`);
  admin.createUser({ user, pwd: password, roles: [{ role, db: name }] });
}
