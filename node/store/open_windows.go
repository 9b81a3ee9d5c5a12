package store

import "os"

const openRead = os.O_RDONLY
