/** Says that it is up. The JVM exits with 143 on TERM. */
public class Worker {
    public static void main(String[] arguments) throws InterruptedException {
        System.out.println("up");
        Thread.currentThread().join();
    }
}
