// A worker for the JVM that waits warm.
//
//     leaderexec --warm --lock-file /tmp/my.lock -- java Worker.java
//
// Before the line it only prepares itself; nothing that others could see. Java has no datagram
// sockets of Unix, so leaderexec --say-ready says READY=1 for it.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

public class Worker {
    record Lead(long term, String fence) {}

    static Lead lead() throws IOException, InterruptedException {
        int said = new ProcessBuilder("leaderexec", "--say-ready").inheritIO().start().waitFor();
        if (said != 0) {
            throw new IOException("leaderexec --say-ready ended with " + said);
        }
        // The line is the last that comes: what is read to its end is the line, or nothing.
        String text = Files.readString(Path.of("/dev/fd", System.getenv("LEADEREXEC_GATE")));
        if (!text.endsWith("\n")) {
            System.exit(0);
        }
        String[] words = text.strip().split(" ");
        return new Lead(Long.parseLong(words[0]), words.length > 1 ? words[1] : "none");
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("prepared");
        Lead lead = lead();
        System.out.println("working in term " + lead.term() + ", fence " + lead.fence());
        Thread.currentThread().join();
    }
}
