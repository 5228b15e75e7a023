'use strict';
// Loaded before Omniboard (node -r): it ends with the process that supervises it, however that ends.
process.on('disconnect', () => process.exit(0));
