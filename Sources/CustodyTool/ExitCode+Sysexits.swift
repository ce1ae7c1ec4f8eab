import ArgumentParser
import Custody
import CustodyOptions
import CustodyTrace

/// The exit codes of sysexits.h that the tool uses beside 0 for success and 1 for a scenario that is not as expected.
extension ExitCode {
    /// `EX_DATAERR`: a trace or a snapshot cannot be read.
    static let dataError = ExitCode(65)
    /// `EX_UNAVAILABLE`: what was named is not to be had on this machine.
    static let unavailable = ExitCode(69)
    /// `EX_IOERR`: a file, or a standard stream, does not take what is to be written.
    static let ioError = ExitCode(74)
    /// `EX_CONFIG`: a configuration or scenario file is wrong.
    static let configuration = ExitCode(78)

    /// Runs `body`; an error of a file, or of a back end, becomes a line and the code that belongs to it.
    static func reporting(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as ConfigurationError {
            report("\(error)")
            throw configuration
        } catch let error as TraceError {
            report("\(error)")
            throw dataError
        } catch BackendCreationError.configuration(let error) {
            report("\(error)")
            throw configuration
        } catch BackendCreationError.backend(let error) {
            report("custody: \(error)")
            throw unavailable
        } catch let error as BackendError {
            report("custody: \(error)")
            throw unavailable
        }
    }
}
