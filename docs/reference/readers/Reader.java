// java -cp 'jars/*' Reader.java ID: what the visitor is about to do, with Jedis.
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.json.JSONTokener;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.util.JedisClusterCRC16;

public class Reader {
    public static void main(String[] arguments) throws Exception {
        try (var store = new JedisPooled(System.getenv("LAMBENT_STORE_URL"))) {
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(HexFormat.of().parseHex(System.getenv("LAMBENT_USER_KEY")), "HmacSHA256"));
            var digest = Arrays.copyOf(mac.doFinal(arguments[0].getBytes("UTF-8")), 16);
            var user = Base64.getUrlEncoder().withoutPadding().encodeToString(digest);
            int p = JedisClusterCRC16.getSlot(user) % Integer.parseInt(store.hget("lambent:meta", "partitions"));
            var bytes = Objects.requireNonNullElse(store.get("intent:{" + p + "}:" + user), "null");
            var intent = new JSONTokener(bytes).nextValue();
            System.out.println(intent);
        }
    }
}
