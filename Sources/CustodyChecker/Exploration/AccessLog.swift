/// Where a recorded world notes what a step reads and writes.
final class AccessLog {
    var accesses = Accesses()
}
