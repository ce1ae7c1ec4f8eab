/// A kernel whose protocol can be driven call by call and step by step, beside whatever else goes on in it.
///
/// Pages are named by guest frame numbers; the start of an ``Operation`` that is handed in is not used.
public protocol KernelDriver: Sendable {
    /// Makes a call; `nil` where the frame is not in the file.
    func call(_ operation: Operation, frame: UInt64) -> DrivenResult?

    /// Starts a process of the given name; `false` where it cannot be. It goes on whenever the schedule lets it,
    /// unless it is stopped.
    func begin(_ name: String, _ operation: Operation, frame: UInt64, isStopped: Bool) -> Bool

    /// Makes so many steps of a process, and leaves it there. `nil` where there is no such process.
    func advance(_ name: String, steps: Int) -> Wait?

    /// Lets a process go on to its end. `nil` where there is no such process.
    func finish(_ name: String) -> DrivenResult?

    /// The page of the file that backs a frame; `nil` where none does.
    func offset(frame: UInt64) -> PageOffset?

    /// What the kernel has for a page: its state, and the state of its folio where it has one. `nil` outside the file.
    func state(frame: UInt64) -> (page: PageState, folio: FolioState?)?

    /// Everything out of the ordinary that has happened so far.
    var events: Events { get }
}
