import ArgumentParser

/// The exit codes of sysexits.h that the tool uses beside 0 for success and 1 for a scenario that is not as expected.
extension ExitCode {
    /// `EX_DATAERR`: a trace or a snapshot cannot be read.
    static let dataError = ExitCode(65)
    /// `EX_UNAVAILABLE`: what was named is not to be had on this machine.
    static let unavailable = ExitCode(69)
    /// `EX_CONFIG`: a configuration or scenario file is wrong.
    static let configuration = ExitCode(78)
}
